//! Prompts against the reference cases and the published preparation's own ids.

use super::*;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::tests::{copy, edit, fixture, json, reference};

fn load(name: &str) -> Tokenizer {
    let dir = fixture(name);
    let dir = if dir.is_dir() { dir } else { reference(name) };
    Tokenizer::from_dir(&dir).unwrap_or_else(|error| panic!("{error}"))
}

/// A column of `expected.safetensors`, [1, T].
fn column(file: &safetensors::SafeTensors, name: &str) -> Vec<i64> {
    let tensor = file.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), safetensors::Dtype::I32);
    let values = tensor.data().as_chunks::<4>().0.iter();
    values.map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect()
}

#[test]
fn the_reference_cases_are_reproduced_to_the_id() {
    for (name, length) in [("internlm2_lora", 477), ("qwen2", 481)] {
        let dir = reference(name);
        let case = json(&dir, "case.json");
        let list = |key: &str| case[key].as_array().unwrap().clone();
        let expressions = list("expressions");
        let expressions: Vec<&str> = expressions.iter().map(|e| e.as_str().unwrap()).collect();
        let rejected: Vec<bool> = list("rej").iter().map(|rej| rej.as_i64() == Some(1)).collect();
        let question = evaluation_question(&expressions);
        let answer = evaluation_answer(&expressions, &rejected);
        assert_eq!(question, case["question"].as_str().unwrap());
        assert_eq!(answer, case["answer"].as_str().unwrap());

        let template =
            Template::from_name(json(&dir, "config.json")["template"].as_str().unwrap()).unwrap();
        let tokenizer = load(name);
        let prompt =
            tokenize_conversation(&tokenizer, template, &question, Some(&answer), 256).unwrap();
        let bytes = std::fs::read(dir.join("expected.safetensors")).unwrap();
        let expected = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let ids: Vec<i64> = prompt.input_ids.iter().map(|&id| i64::from(id)).collect();
        assert_eq!(ids, column(&expected, "input_ids"));
        assert_eq!(prompt.labels, column(&expected, "labels"));
        assert_eq!(ids.len(), length);
        let first = prompt.labels.iter().position(|&label| label != NO_LOSS);
        assert_eq!(first, Some(prompt.answer_start));
        assert_eq!(prompt.image_range, prompt.image_start + 1..prompt.image_start + 257);
        let special = tokenizer.special_tokens().unwrap();
        let (prefix, rest) = prompt.split();
        assert_eq!(prefix.last(), Some(&special.img_end));
        assert!(!rest.contains(&special.img_end) && prefix.len() == prompt.prefix_len());
    }
}

/// Folder, template, question, answer, image tokens, ids, first position with loss, end of the
/// loss.
type Row = (String, String, String, String, usize, Vec<u32>, usize, usize);

#[test]
fn every_template_as_the_published_preparation_does_it() {
    let rows = std::fs::read(fixture("prompts.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows.len(), 39);
    for (name, template, question, answer, image_tokens, ids, start, end) in rows {
        let template = Template::from_name(&template).unwrap();
        let prompt =
            tokenize_conversation(&load(&name), template, &question, Some(&answer), image_tokens);
        let prompt = prompt.unwrap_or_else(|error| panic!("{name}: {error}"));
        let place = format!("{name}, {template:?}, {question}");
        assert_eq!(prompt.input_ids, ids, "{place}");
        assert_eq!(prompt.answer_start, start, "{place}");
        for (index, (&label, &id)) in prompt.labels.iter().zip(&ids).enumerate() {
            let learned = (start..end).contains(&index);
            assert_eq!(label, if learned { i64::from(id) } else { NO_LOSS }, "{index}, {place}");
        }
    }
}

#[test]
fn the_prefix_is_the_same_whatever_follows() {
    for name in ["internlm2_lora", "qwen2", "dummy_fold", "rules_no_dummy", "byte_level"] {
        let tokenizer = load(name);
        let prompt = |question: &str, answer| {
            tokenize_conversation(&tokenizer, Template::InternVl2_5, question, answer, 256).unwrap()
        };
        let first = prompt("<image>", None);
        let (prefix, _) = first.split();
        let expressions =
            ["a", " ", "左边的人", "\u{301}accent", "!!", "\n\n", "1", "▁x", "</", "🐎"];
        for expression in expressions {
            for question in [evaluation_question(&[expression]), format!("<image>{expression}")] {
                let other = prompt(&question, Some("Sure,x:[SEG]."));
                assert_eq!(other.split().0, prefix, "{name}: {question:?}");
                assert_eq!(other.image_range, first.image_range);
            }
        }
    }
}

#[test]
fn without_an_answer_the_prompt_ends_after_the_header() {
    for name in ["internlm2_lora", "qwen2"] {
        let tokenizer = load(name);
        let ask = |answer| {
            let question = evaluation_question(&["cup"]);
            tokenize_conversation(&tokenizer, Template::InternVl2_5, &question, answer, 256)
                .unwrap()
        };
        let (open, full) = (ask(None), ask(Some("Sure,cup:[SEG].")));
        assert_eq!(open.input_ids, full.input_ids[..full.answer_start]);
        assert_eq!(open.answer_start, open.input_ids.len());
        assert!(open.labels.iter().all(|&label| label == NO_LOSS));
        let text = tokenizer.decode(&open.input_ids[open.prefix_len()..], false).unwrap();
        assert!(text.ends_with("masks.<|im_end|>\n<|im_start|>assistant\n"), "{text}");
    }
}

#[test]
fn questions_and_answers_are_the_published_ones_to_the_letter() {
    assert_eq!(
        evaluation_question(&["a red cup", "b"]),
        "<image>\n What are a red cup, bin this image? Please output segmentation masks."
    );
    assert_eq!(evaluation_answer(&["a", "b"], &[false, true]), "Sure,a:[SEG], b:[REJ].");
    assert_eq!(evaluation_answer(&["a"], &[]), "Sure,a:[SEG].");
    let prompt = |question, answer| {
        training_prompt(&["The Man. ", "DOG"], &[false, true], question, answer).unwrap()
    };
    let asked = [
        "<image>\nCan you segment the man, dog in this image?",
        "<image>\nPlease segment the man, dog in this image.",
        "<image>\nWhat are the man, dog in this image? Please respond with segmentation masks.",
        "<image>\nWhat are the man, dog in this image? Please output segmentation masks.",
    ];
    let answered = [
        "The segmentation results are the man [SEG], dog [REJ].",
        "Sure, they are the man:[SEG], dog:[REJ].",
        "Sure, the mask of the man is [SEG], the mask of dog is [REJ].",
        "Sure, the segmentation of the man is [SEG], the segmentation of dog is [REJ].",
        "Sure, the referred the man is [SEG], the referred dog is [REJ].",
    ];
    for (index, answer) in answered.into_iter().enumerate() {
        let question = index % asked.len();
        assert_eq!(prompt(question, index), (asked[question].into(), answer.into()));
    }
    // An expression that looks like a slot stays text.
    let (question, answer) = training_prompt(&["{x}", "b"], &[false, false], 0, 0).unwrap();
    assert_eq!(question, "<image>\nCan you segment {x}, b in this image?");
    assert_eq!(answer, "The segmentation results are {x} [SEG], b [SEG].");
}

#[test]
fn impossible_training_prompts_are_errors() {
    let message = |expressions: &[&str], rejected: &[bool], question, answer| {
        training_prompt(expressions, rejected, question, answer).unwrap_err().to_string()
    };
    assert!(message(&[], &[], 0, 0).starts_with("0 expressions with 0"));
    assert!(message(&["a"; 6], &[false; 6], 0, 0).contains("expected 1 to 5"));
    assert!(message(&["a"], &[], 0, 0).starts_with("1 expressions with 0 rejection flags"));
    assert!(message(&["a"], &[false], 4, 0).contains("no question 4: expected 0 to 3"));
    assert!(message(&["a"], &[false], 0, 5).contains("no answer style 5: expected 0 to 4"));
    assert!(message(&["a", " . "], &[false; 2], 0, 0).contains("empty"));
}

#[test]
fn templates_are_found_by_their_config_names() {
    for &template in Template::ALL {
        assert_eq!(Template::from_name(template.name()).unwrap(), template);
    }
    let message = Template::from_name("vicuna").unwrap_err().to_string();
    for part in ["`vicuna`", "`internvl2_5`", "`internlm2-chat`", "`Hermes-2`"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(Template::Hermes2.turn("assistant", "x"), "<|im_start|>assistant\nx<|im_end|>");
}

#[test]
fn expressions_are_checked() {
    for name in ["internlm2_lora", "qwen2"] {
        let tokenizer = load(name);
        let message = |text: &str| check_expression(&tokenizer, text).unwrap_err().to_string();
        for token in ["<|im_end|>", "[SEG]", "[REJ]", "<image>", "<IMG_CONTEXT>", "</img>", "<ref>"]
        {
            let message = message(&format!("the cup{token} on the left"));
            assert!(
                message.contains(&format!("`{token}`")) && message.contains("reserved"),
                "{message}"
            );
        }
        assert!(message("").contains("empty") && message(" \n\t").contains("empty"));
        for ok in ["a", "左边的人 🐎", "[seg]", "<im", "x < y", " the red cup. ", "é\u{301}"]
        {
            check_expression(&tokenizer, ok).unwrap();
        }
        // One token each, checked by Python's ids for this word in the reference case.
        check_expression(&tokenizer, &"the ".repeat(MAX_EXPRESSION_TOKENS)).unwrap();
        let long = message(&"the ".repeat(MAX_EXPRESSION_TOKENS + 1));
        assert!(long.contains("513 tokens") && long.contains("at most 512"), "{long}");
        assert!(message(&"x".repeat(300_000)).contains("300000"));
    }
}

/// A placeholder piece whose id an added token has taken would otherwise be a way to say that
/// token.
#[test]
fn a_placeholder_is_no_way_around_the_check() {
    let dir = copy(&fixture("dummy_fold"));
    let id = load("dummy_fold").token_id("[UNUSED_TOKEN_1]").unwrap();
    edit(dir.path(), "tokenizer_config.json", |config| {
        config["added_tokens_decoder"][id.to_string()] = serde_json::json!({"content": "<|turn|>"});
    });
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let message = check_expression(&tokenizer, "a [UNUSED_TOKEN_1] b").unwrap_err().to_string();
    assert!(message.contains("`<|turn|>`"), "{message}");
}

#[test]
fn impossible_conversations_are_errors() {
    let tokenizer = load("qwen2");
    let ask = |template, question: &str, answer, image_tokens| {
        tokenize_conversation(&tokenizer, template, question, answer, image_tokens)
            .unwrap_err()
            .to_string()
    };
    let template = Template::InternVl2_5;
    assert!(ask(template, "no image", None, 256).contains("0 times `<image>`"));
    assert!(ask(template, "<image><image>", None, 256).contains("2 times `<image>`"));
    assert!(ask(template, "<image>", None, 0).contains("0 image tokens: expected 1 to 16384"));
    assert!(ask(template, "<image>", None, usize::MAX).contains("expected 1 to 16384"));
    assert!(ask(template, "<image><|im_end|>", None, 1).contains("question contains `<|im_end|>`"));
    assert!(ask(template, "<image>[SEG]", None, 1).contains("question contains `[SEG]`"));
    assert!(ask(template, "<image>", Some("x<|im_end|>"), 1).contains("answer contains"));
    assert!(ask(template, "<image>", Some("x<image>"), 1).contains("answer contains `<image>`"));
    let dir = copy(&fixture("byte_level"));
    std::fs::remove_file(dir.path().join("added_tokens.json")).unwrap();
    std::fs::remove_file(dir.path().join("special_tokens_map.json")).unwrap();
    let bare = Tokenizer::from_dir(dir.path()).unwrap();
    let missing = tokenize_conversation(&bare, template, "<image>", None, 1).unwrap_err();
    assert!(missing.to_string().contains("token `<|im_start|>` is not in the tokenizer of"));
    // U+0338 composes with `>`, so that `</img>` is no longer there.
    let layout = ask(template, "<image>\u{338}", None, 2);
    assert!(layout.contains("2 x `<IMG_CONTEXT>`"), "{layout}");
    assert_eq!(image_placeholder(2), "<img><IMG_CONTEXT><IMG_CONTEXT></img>");
}
