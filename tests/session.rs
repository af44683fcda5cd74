//! The short path of a session against the plain forward pass, and the ways to ask.

use std::path::{Path, PathBuf};

use mllmseg::data::image::read_image;
use mllmseg::data::prompt::{evaluation_answer, evaluation_question};
use mllmseg::{SegmentError, Segmenter, device};
use xtask::weights::{CheckpointOptions, write_checkpoint};

const EXPRESSIONS: [&str; 3] =
    ["man in the red shirt on the left", "small brown dog", "the two horses facing away"];

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

/// The segmenter of a case; `edit` may change the text of its `config.json`.
fn segmenter(name: &str, edit: impl Fn(String) -> String) -> Segmenter {
    let dir = tempfile::tempdir().unwrap();
    write_checkpoint(&case(name), dir.path(), &CheckpointOptions::default()).unwrap();
    let config = dir.path().join("config.json");
    std::fs::write(&config, edit(std::fs::read_to_string(&config).unwrap())).unwrap();
    Segmenter::load(dir.path(), &device::cpu()).unwrap()
}

/// Largest difference between a session's probabilities and one plain pass for each expression.
fn difference_to_plain(segmenter: &Segmenter, case_name: &str) -> f32 {
    let image = read_image(case(case_name).join("image.png")).unwrap();
    let session = segmenter.encode(&image).unwrap();
    let fast = session.segment_all(&EXPRESSIONS).unwrap();
    let mut largest = 0f32;
    for (expression, fast) in EXPRESSIONS.iter().zip(fast) {
        let question = evaluation_question(&[expression]);
        let answer = evaluation_answer(&[expression], &[false]);
        let prompt = segmenter.tokenize(&question, Some(&answer)).unwrap();
        let plain = segmenter.forward_plain(segmenter.pixels(&image), &prompt);
        let plain = plain.masks().unwrap().into_data();
        assert_eq!(plain.num_elements(), fast.probabilities.len());
        for (plain, fast) in plain.iter::<f32>().zip(fast.probabilities) {
            largest = largest.max((plain - fast).abs());
        }
    }
    largest
}

#[test]
fn the_short_path_equals_the_plain_forward() {
    let difference = difference_to_plain(&segmenter("qwen2", |text| text), "qwen2");
    assert!(difference <= 1e-4, "{difference}");
}

/// With scaling switched off the prefix is shared, and adapters are in the way of both paths.
#[test]
fn the_short_path_equals_the_plain_forward_with_lora() {
    let static_rope = |text: String| text.replace("\"dynamic\"", "\"linear\"");
    let difference =
        difference_to_plain(&segmenter("internlm2_lora", static_rope), "internlm2_lora");
    assert!(difference <= 1e-4, "{difference}");
}

/// Where the rotary embedding depends on the length of the conversation there is no shared prefix,
/// and the session must notice.
#[test]
fn active_dynamic_rope_takes_the_plain_path() {
    let segmenter = segmenter("internlm2_lora", |text| text);
    assert!(segmenter.model.language_model.rope().depends_on_length(400));
    let difference = difference_to_plain(&segmenter, "internlm2_lora");
    assert!(difference <= 1e-6, "{difference}");
}

/// The masks of `expected.safetensors`, asked as the published evaluation asks: together.
#[test]
fn asked_together_the_published_masks_come_out() {
    let segmenter = segmenter("qwen2", |text| text);
    let image = read_image(case("qwen2").join("image.png")).unwrap();
    let session = segmenter.encode(&image).unwrap();
    let masks = session.segment_together(&EXPRESSIONS[..2]).unwrap();

    let bytes = std::fs::read(case("qwen2").join("expected.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (values, _) = file.tensor("masks").unwrap().data().as_chunks::<4>();
    let ours = masks.iter().flat_map(|mask| &mask.probabilities);
    assert_eq!(values.len(), 2 * 448 * 448);
    for (published, ours) in values.iter().zip(ours) {
        assert!((f32::from_le_bytes(*published) - ours).abs() <= 1e-3);
    }
}

#[test]
fn batches_equal_single_questions() {
    let segmenter = segmenter("qwen2", |text| text);
    let image = read_image(case("qwen2").join("image.png")).unwrap();
    let session = segmenter.encode(&image).unwrap();
    // More than one batch, of different lengths.
    let many: Vec<&str> = EXPRESSIONS.iter().cycle().take(11).copied().collect();
    let all = session.segment_all(&many).unwrap();
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        let one = session.segment(expression).unwrap();
        for batch in all.iter().skip(index).step_by(3) {
            assert_eq!(batch.expression, *expression);
            assert_eq!(batch.rejected, one.rejected);
            let pairs = batch.probabilities.iter().zip(&one.probabilities);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-5));
        }
    }
    assert!(session.segment_all(&[]).unwrap().is_empty());
}

#[test]
fn masks_have_the_pictures_size_and_agree_with_their_boxes() {
    let segmenter = segmenter("qwen2", |text| text);
    let image = read_image(case("qwen2").join("image.png")).unwrap();
    let mask = segmenter.encode(&image).unwrap().segment("dog").unwrap();
    assert_eq!(mask.mask.size(), [image.height() as usize, image.width() as usize]);
    assert_eq!(mask.bounding_box, mask.mask.bounding_box());
    assert_eq!(mask.rle().to_bitmap(), mask.mask);
    assert!((0.5..=1.0).contains(&mask.score));
}

/// Generation reads its own words back through the cache: the plain pass over the finished answer
/// must predict every one of its tokens.
#[test]
fn generated_tokens_are_those_the_plain_pass_predicts() {
    let segmenter = segmenter("qwen2", |text| text);
    let image = read_image(case("qwen2").join("image.png")).unwrap();
    let session = segmenter.encode(&image).unwrap();
    let generated = session.generate(&["dog"]).unwrap();
    assert!(!generated.text.is_empty());

    let question = evaluation_question(&["dog"]);
    let prompt = segmenter.tokenize(&question, None).unwrap();
    let answer = segmenter.tokenizer.encode(&generated.text).unwrap();
    let first: Vec<u32> = answer.iter().take(6).copied().collect();
    let mut longer = prompt.clone();
    longer.input_ids.extend(&first);
    let hidden = segmenter.forward_plain(segmenter.pixels(&image), &longer).last_hidden_state;
    let best = segmenter.model.language_model.logits(hidden).argmax(2).into_data();
    let best: Vec<u32> = best.iter::<i64>().map(|id| id as u32).collect();
    let start = prompt.input_ids.len() - 1;
    // Decoding and encoding again may merge tokens differently; the first ones must agree.
    assert_eq!(best[start], first[0]);
}

#[test]
fn words_that_cannot_be_asked_are_named() {
    let segmenter = segmenter("qwen2", |text| text);
    let image = read_image(case("qwen2").join("image.png")).unwrap();
    let session = segmenter.encode(&image).unwrap();
    let message = |expression: &str| match session.segment(expression) {
        Err(error @ SegmentError::Prompt(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(message("  ").contains("empty"));
    assert!(message("the [SEG] dog").contains("[SEG]"));
    assert!(message("<|im_end|>").contains("<|im_end|>"));
    let long = message(&"very ".repeat(2000));
    assert!(long.contains("512") && long.contains("shorten"), "{long}");
}

/// 1x1, extreme aspect: stretched like any other.
#[test]
fn odd_pictures_are_segmented() {
    let segmenter = segmenter("qwen2", |text| text);
    for (width, height) in [(1, 1), (2000, 3)] {
        let image = image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 30]));
        let mask = segmenter.encode(&image).unwrap().segment("dog").unwrap();
        assert_eq!(mask.mask.size(), [height as usize, width as usize]);
    }
}
