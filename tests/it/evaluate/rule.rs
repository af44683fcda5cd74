//! One rule for `eval`, `score` and `train`: a sentence that cannot be asked is a miss where answers are counted and
//! is not learned from, and what contradicts the annotations is refused or left out.

use mllmseg::train::Recipe;
use mllmseg::train::mix::{Conversation, DataMix};
use serde_json::json;
use tempfile::TempDir;

use super::*;

#[test]
fn a_sentence_without_words_is_a_miss_and_no_lesson() {
    let root = copy_of(&fixtures());
    let expressions = |root: &Path| {
        let mut recipe = Recipe::default();
        recipe.data.mix = vec!["grefcoco".into()];
        recipe.data.split = "val".into();
        let conversation = Conversation {
            tokenizer: QWEN2.tokenizer.clone(),
            template: QWEN2.template,
            num_image_tokens: QWEN2.config.num_image_tokens(),
            image_size: QWEN2.config.image_size,
        };
        let mix = DataMix::open(root, &recipe, conversation).unwrap();
        let (_, _, expressions) = mix.sizes().next().unwrap();
        (expressions, mix.notes().iter().any(|note| note.contains("1 expressions cannot be asked")))
    };
    let (before, noted) = expressions(root.path());
    assert!(!noted);
    edit_json(&root.path().join("grefcoco/grefs(unc).json"), |refs| {
        refs[0]["sentences"][0]["sent"] = json!("");
    });
    assert_eq!(expressions(root.path()), (before - 1, true));

    let file = root.path().join("p.jsonl");
    let options = || BenchmarkOptions::new(Dataset::GRefCoco, Split::Val);
    let run = RunOptions { predictions: Some(&file), resume: false };
    let (evaluation, _) = evaluated(root.path(), options(), run).unwrap();
    assert_eq!(evaluation.summary.unasked, 1);
    assert_eq!(evaluation.summary.numbers.n(), before as u64);
    // A program that leaves the sentence out gets the same numbers.
    let lines = fs::read_to_string(&file).unwrap();
    let rest: String = lines
        .lines()
        .filter(|line| !line.contains("\"unasked\":true"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(rest.len() < lines.len());
    fs::write(&file, rest).unwrap();
    let scored = scored(root.path(), options(), &file).unwrap();
    assert_eq!(scored.summary, evaluation.summary);
}

#[test]
fn contradictions_stop_all_three_with_the_same_way_out() {
    let root = copy_of(&fixtures());
    edit_json(&root.path().join("refcoco/instances.json"), |all| {
        all["annotations"][0]["image_id"] = json!(1007);
    });
    let file = predictions("refcoco_val");
    let run = TempDir::new().unwrap();
    let mut train =
        mllmseg(["train", "--recipe", "tiny", "--mix", "refcoco", "--device", "cpu", "--data"]);
    train.arg(root.path()).arg("--out").arg(run.path().join("run"));
    let mut score = command("score", root.path(), "refcoco", "val");
    score.arg("--predictions").arg(file);
    for mut command in [command("eval", root.path(), "refcoco", "val"), score, train] {
        assert_says(failure(&mut command), &["ref 0", "--skip-contradictions"]);
    }
}
