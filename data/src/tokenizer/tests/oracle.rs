//! Ids and decoded texts of `transformers` and `sentencepiece`, text by text.

use super::super::{IM_END, IM_START, MAX_TEXT_BYTES, Tokenizer};
use super::{fixture, load, reference};
use std::path::Path;

/// `[text, ids, decoded, decoded without special tokens]`.
type Case = (String, Vec<u32>, String, String);

fn check(tokenizer: &Tokenizer, expected: &Path) -> usize {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (text, ids, decoded, skipped) in &cases {
        let found = tokenizer.encode(text).unwrap();
        if found != *ids {
            wrong.push(format!("{text:?}: expected {ids:?}, found {found:?}"));
        }
        for (wanted, skip) in [(decoded, false), (skipped, true)] {
            let text = tokenizer.decode(ids, skip).unwrap();
            if *wanted != text {
                wrong.push(format!("{ids:?}: expected {wanted:?}, found {text:?}"));
            }
        }
    }
    let place = expected.display();
    assert!(wrong.is_empty(), "{place}: {} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    cases.len()
}

fn check_folder(name: &str) {
    let dir = fixture(name);
    assert!(check(&load(&dir), &dir.join("expected.json")) >= 80);
}

#[test]
fn reference_sentencepiece() {
    let tokenizer = load(&reference("internlm2_lora"));
    check(&tokenizer, &fixture("reference_internlm2.json"));
    assert_eq!(tokenizer.vocab_size(), 1213);
    assert_eq!((tokenizer.bos_id(), tokenizer.adds_bos()), (Some(1), true));
    let special = tokenizer.special_tokens().unwrap();
    assert_eq!((special.img_start, special.img_end, special.img_context), (1202, 1203, 1204));
    assert_eq!((special.seg, special.rej, tokenizer.pad_id()), (1211, 1212, Some(2)));
    assert_eq!(
        (tokenizer.token_id(IM_START), tokenizer.token_id(IM_END)),
        (Some(1201), Some(1200))
    );
}

#[test]
fn reference_byte_level() {
    let tokenizer = load(&reference("qwen2"));
    check(&tokenizer, &fixture("reference_qwen2.json"));
    assert_eq!(tokenizer.vocab_size(), 1214);
    assert_eq!((tokenizer.bos_id(), tokenizer.adds_bos()), (None, false));
    let special = tokenizer.special_tokens().unwrap();
    assert_eq!((special.seg, special.rej), (1212, 1213));
    assert_eq!((tokenizer.pad_id(), special.eos), (Some(1200), Some(1200)));
}

/// `dummy_fold`: dummy prefix and folded spaces; `dummy_keep_unknown`: kept spaces, unknown tokens
/// and a token that strips; `rules_no_dummy`: a character map of the model's own; `edited`: tied
/// scores and unused pieces; `byte_level`: merges without a header, the first one `# #`, and added
/// tokens in the older layout; `library`: `tokenizer.json`.
#[test]
fn every_kind_of_folder() {
    let sentencepiece = ["dummy_fold", "dummy_keep_unknown", "rules_no_dummy", "edited"];
    for name in sentencepiece.into_iter().chain(["byte_level", "library"]) {
        check_folder(name);
    }
}

/// What transformers 5 saves (`tests/oracle/tokenizer_5.py`): `tokenizer.json` alone, which says whether a text
/// begins with `<s>`.
#[test]
fn folders_of_transformers_5() {
    for (name, expected, adds_bos) in [
        ("llama_5", "reference_internlm2.json", true),
        ("library_5", "library/expected.json", false),
    ] {
        let tokenizer = load(&fixture(name));
        check(&tokenizer, &fixture(expected));
        assert_eq!(tokenizer.adds_bos(), adds_bos, "{name}");
        assert!(tokenizer.special_tokens().is_ok(), "{name}");
    }
}

/// Run with `--ignored` after `tests/oracle/tokenizer.py --with-nfkc`.
#[test]
#[ignore = "needs two models of 240 KB that are not kept in the repository"]
fn full_unicode_maps() {
    check_folder("nfkc");
    check_folder("nfkc_cf_keep");
}

#[test]
fn long_texts_are_refused_and_the_longest_allowed_one_is_right() {
    for name in ["internlm2_lora", "qwen2"] {
        let tokenizer = load(&reference(name));
        let message = tokenizer.encode(&"a".repeat(MAX_TEXT_BYTES + 1)).unwrap_err().to_string();
        assert!(message.contains("262145") && message.contains("262144"), "{message}");
        for text in [" ", "a", "\n", "字", "- ", "  \n"] {
            let text = text.repeat(MAX_TEXT_BYTES / text.len());
            let ids = tokenizer.encode(&text).unwrap();
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        }
    }
}

#[test]
fn ids_outside_the_vocabulary_are_refused() {
    let message = load(&reference("qwen2")).decode(&[1, 1214], false).unwrap_err().to_string();
    assert!(message.contains("1214"), "{message}");
}

/// The published code reads the slow tokenizer's files, so they win over `tokenizer.json`.
#[test]
fn the_slow_files_win() {
    let dir = super::copy(&fixture("byte_level"));
    std::fs::write(dir.path().join("tokenizer.json"), "not even JSON").unwrap();
    load(dir.path());
    std::fs::remove_file(dir.path().join("merges.txt")).unwrap();
    let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json: expected a JSON object"), "{message}");
}

/// Latin-1 letters are also the printable forms of bytes; an added token of them alone is text.
#[test]
fn an_added_token_of_latin_1_letters_decodes_to_itself() {
    let dir = super::copy(&fixture("byte_level"));
    let next = load(dir.path()).vocab_size();
    super::edit(dir.path(), "added_tokens.json", |added| added["éé"] = next.into());
    let tokenizer = load(dir.path());
    let ids = tokenizer.encode("néé[SEG] ñ").unwrap();
    assert!(ids.contains(&(next as u32)));
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "néé[SEG] ñ");
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "néé ñ");
}

#[test]
fn a_tokenizer_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&load(&reference("qwen2")));
}
