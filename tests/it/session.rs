//! The short path of a session against the plain forward pass, and the ways to ask.

use std::fs;

use mllmseg::data::prompt::{evaluation_answer, evaluation_question};
use mllmseg::{SegmentError, Segmenter, device};

use super::support::*;

const EXPRESSIONS: [&str; 3] =
    ["man in the red shirt on the left", "small brown dog", "the two horses facing away"];

/// Largest difference between a session's probabilities and one plain pass for each expression.
fn difference_to_plain(segmenter: &Segmenter, case_name: &str) -> f32 {
    let image = image_of(case_name);
    let session = segmenter.encode(&image).unwrap();
    let fast = session.segment_all(&EXPRESSIONS).unwrap();
    let differences = EXPRESSIONS.iter().zip(fast).map(|(expression, fast)| {
        let question = evaluation_question(&[expression]);
        let answer = evaluation_answer(&[expression], &[false]);
        let prompt = segmenter.tokenize(&question, Some(&answer)).unwrap();
        let (_, plain) = segmenter.forward_plain(segmenter.pixels(&image), &prompt);
        let plain: Vec<f32> = plain.unwrap().masks.into_data().iter().collect();
        difference(&plain, &fast.probabilities)
    });
    differences.fold(0.0, f32::max)
}

#[test]
fn the_short_path_equals_the_plain_forward() {
    let difference = difference_to_plain(&QWEN2, "qwen2");
    assert!(difference <= 1e-4, "{difference}");
}

/// With scaling switched off the prefix is shared, and adapters are in the way of both paths.
#[test]
fn the_short_path_equals_the_plain_forward_with_lora() {
    let folder = copy_of(&checkpoint("internlm2_lora"));
    let config = folder.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"dynamic\"", "\"linear\"")).unwrap();
    let segmenter = Segmenter::load(folder.path(), &device::cpu()).unwrap();
    let difference = difference_to_plain(&segmenter, "internlm2_lora");
    assert!(difference <= 1e-4, "{difference}");
}

/// Where the rotary embedding depends on the length of the conversation there is no shared prefix,
/// and the session must notice.
#[test]
fn active_dynamic_rope_takes_the_plain_path() {
    let segmenter = Segmenter::load(checkpoint("internlm2_lora"), &device::cpu()).unwrap();
    assert!(segmenter.config.language.rope_depends_on_length(400));
    let difference = difference_to_plain(&segmenter, "internlm2_lora");
    assert!(difference <= 1e-6, "{difference}");
}

/// The masks of `expected.safetensors`, asked as the published evaluation asks: together.
#[test]
fn asked_together_the_published_masks_come_out() {
    let session = QWEN2.encode(&image_of("qwen2")).unwrap();
    let masks = session.segment_together(&EXPRESSIONS[..2]).unwrap();
    let ours: Vec<f32> = masks.into_iter().flat_map(|mask| mask.probabilities).collect();
    let (_, published) = floats(&case("qwen2").join("expected.safetensors"), "masks");
    assert_eq!(published.len(), 2 * 448 * 448);
    assert!(difference(&ours, &published) <= 1e-3);
}

#[test]
fn batches_equal_single_questions() {
    let session = QWEN2.encode(&image_of("qwen2")).unwrap();
    // More than one batch, of different lengths.
    let many: Vec<&str> = EXPRESSIONS.iter().cycle().take(11).copied().collect();
    let all = session.segment_all(&many).unwrap();
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        let one = session.segment(expression).unwrap();
        for batch in all.iter().skip(index).step_by(3) {
            assert_eq!(batch.expression, *expression);
            assert_eq!(batch.rejected, one.rejected);
            assert!(difference(&batch.probabilities, &one.probabilities) <= 1e-5);
        }
    }
    assert!(session.segment_all(&[]).unwrap().is_empty());
}

#[test]
fn masks_have_the_pictures_size_and_agree_with_their_boxes() {
    let image = image_of("qwen2");
    let mask = QWEN2.encode(&image).unwrap().segment("dog").unwrap();
    assert_eq!(mask.mask.size(), [image.height() as usize, image.width() as usize]);
    assert_eq!(mask.bounding_box, mask.mask.bounding_box());
    assert_eq!(mask.rle().to_bitmap(), mask.mask);
    assert!((0.5..=1.0).contains(&mask.score));
}

/// Generation reads its own words back through the cache: the plain pass over the finished answer
/// must predict every one of its tokens.
#[test]
fn generated_tokens_are_those_the_plain_pass_predicts() {
    let image = image_of("qwen2");
    let generated = QWEN2.encode(&image).unwrap().generate(&["dog"]).unwrap();
    assert!(generated.ids.len() > 1 && !generated.text.is_empty());

    let mut prompt = QWEN2.tokenize(&evaluation_question(&["dog"]), None).unwrap();
    let start = prompt.input_ids.len() - 1;
    prompt.input_ids.extend(&generated.ids);
    let hidden = QWEN2.forward_plain(QWEN2.pixels(&image), &prompt).0.hidden;
    let best = QWEN2.model.language_model.lm_head.forward(hidden).argmax(2).into_data();
    let best: Vec<u32> = best.iter::<i64>().map(|id| id as u32).skip(start).collect();
    assert_eq!(best[..generated.ids.len()], generated.ids);
}

#[test]
fn words_that_cannot_be_asked_are_named() {
    let session = QWEN2.encode(&image_of("qwen2")).unwrap();
    for (expression, words) in [
        ("  ", &["empty"][..]),
        ("the [SEG] dog", &["[SEG]"]),
        ("<|im_end|>", &["<|im_end|>"]),
        (&"very ".repeat(2000), &["512", "shorten"]),
    ] {
        match session.segment(expression) {
            Err(error @ SegmentError::Prompt(_)) => assert_says(error, words),
            other => panic!("{other:?}"),
        }
    }
}

/// 1x1, extreme aspect: stretched like any other.
#[test]
fn odd_pictures_are_segmented() {
    for (width, height) in [(1, 1), (2000, 3)] {
        let image = image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 30]));
        let mask = QWEN2.encode(&image).unwrap().segment("dog").unwrap();
        assert_eq!(mask.mask.size(), [height as usize, width as usize]);
    }
}
