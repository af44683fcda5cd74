//! Damaged folders: every one is an error that names the file and the fault.

use super::super::Tokenizer;
use super::{copy, edit, fixture, json, load, reference};
use serde_json::{Value, json};
use std::path::Path;

fn message(dir: &Path) -> String {
    Tokenizer::from_dir(dir).expect_err("the folder is damaged").to_string()
}

/// Loads a copy of `from` with one file replaced, and checks the message.
fn spoilt(from: &Path, name: &str, content: impl AsRef<[u8]>, wanted: &[&str]) {
    let dir = copy(from);
    std::fs::write(dir.path().join(name), content).unwrap();
    let message = message(dir.path());
    for part in wanted.iter().chain([&name]) {
        assert!(message.contains(part), "wanted {part:?} in: {message}");
    }
}

#[test]
fn no_tokenizer_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let empty = message(dir.path());
    assert!(empty.contains("found none of them") && empty.contains("`merges.txt`"), "{empty}");
    std::fs::write(dir.path().join("vocab.json"), "{}").unwrap();
    assert!(message(dir.path()).contains("only `vocab.json`"));
    assert!(message(Path::new("/nowhere/at all")).contains("/nowhere/at all"));
}

#[test]
fn damaged_sentencepiece_models() {
    let from = reference("internlm2_lora");
    let bytes = std::fs::read(from.join("tokenizer.model")).unwrap();
    for length in [1, 7, 100, 5000, bytes.len() - 1] {
        spoilt(&from, "tokenizer.model", &bytes[..length], &["tokenizer.model"]);
    }
    spoilt(
        &from,
        "tokenizer.model",
        &bytes[..5000],
        &["expected a SentencePiece model", "truncated"],
    );
    spoilt(&from, "tokenizer.model", "", &["found 0 pieces"]);
    let pointer = "version https://git-lfs.github.com/spec/v1\n";
    spoilt(&from, "tokenizer.model", pointer, &["Git LFS pointer"]);
}

/// No single damaged byte of a model may panic, whatever it loads as.
#[test]
fn flipped_bytes_of_a_model_never_panic() {
    for name in ["rules_no_dummy", "edited"] {
        let dir = copy(&fixture(name));
        let path = dir.path().join("tokenizer.model");
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(23) {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 0x55;
            std::fs::write(&path, &spoilt).unwrap();
            if let Ok(tokenizer) = Tokenizer::from_dir(dir.path()) {
                let ids = tokenizer.encode("ABC  ﬁ a\u{301} <ud> aaaa[SEG]字").unwrap();
                tokenizer.decode(&ids, false).unwrap();
            }
        }
    }
}

#[test]
fn a_unigram_model_is_named_as_such() {
    // trainer_spec (field 2) with model_type (field 3) = UNIGRAM, and one piece of type UNKNOWN.
    let unigram = [&[0x0a, 0x05, 0x0a, 0x01, b'u', 0x18, 2][..], &[0x12, 0x02, 0x18, 1]].concat();
    let from = reference("internlm2_lora");
    spoilt(&from, "tokenizer.model", &unigram, &["model type UNIGRAM", "of type BPE"]);
    let bpe = [&[0x0a, 0x05, 0x0a, 0x01, b'u', 0x18, 1][..], &[0x12, 0x02, 0x18, 2]].concat();
    spoilt(&from, "tokenizer.model", &bpe, &["one of type UNKNOWN, found none"]);
    let twice = [
        &[0x0a, 0x03, 0x0a, 0x01, b'u'][..],
        &[0x0a, 0x03, 0x0a, 0x01, b'u'],
        &[0x12, 0x02, 0x18, 2],
    ];
    spoilt(&from, "tokenizer.model", twice.concat(), &["piece `u` at both 0 and 1"]);
}

/// What no model of the network needs is refused, and not read wrongly.
#[test]
fn other_ways_with_spaces_are_named() {
    let from = fixture("dummy_fold");
    let model = std::fs::read(from.join("tokenizer.model")).unwrap();
    // Field 24 of trainer_spec (field 2); a second message of one field is merged into the first.
    let suffix = [&model[..], &[0x12, 0x03, 0xc0, 0x01, 1]].concat();
    spoilt(&from, "tokenizer.model", suffix, &["space before a word", "whitespace_as_suffix"]);
    let llama = r#"{"tokenizer_class": "LlamaTokenizer", "legacy": false}"#;
    spoilt(
        &from,
        "tokenizer_config.json",
        llama,
        &["`\"legacy\": true`", "found `\"legacy\": false`"],
    );
}

#[test]
fn damaged_json() {
    let from = reference("qwen2");
    for name in
        ["vocab.json", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"]
    {
        spoilt(&from, name, "{\"a\": ", &["a JSON object", "EOF", "line 1"]);
        spoilt(&from, name, "[1]", &["a JSON object", "sequence"]);
        spoilt(&from, name, [0x7b, 0xff, 0x7d], &["UTF-8", "offset 1"]);
    }
    spoilt(&from, "vocab.json", "{}", &["found 0 tokens"]);
    spoilt(&from, "vocab.json", r#"{"a": "b"}"#, &["ids 0 to 0", "`a` with id \"b\""]);
    spoilt(&from, "vocab.json", r#"{"a": 0, "b": 7}"#, &["ids 0 to 1", "`b` with id 7"]);
    spoilt(&from, "vocab.json", r#"{"a": 0, "b": 0}"#, &["ids 0 to 1 once each", "`b` with id 0"]);
}

#[test]
fn damaged_merges() {
    let from = fixture("byte_level");
    let with = |line: &str| format!("# #\n\n{line}\n");
    for line in ["a b c", "alone", "a ÷÷", "÷ ÷"] {
        let found = format!("found `{line}`");
        spoilt(&from, "merges.txt", with(line), &["two tokens", "line 3", &found]);
    }
    spoilt(&from, "merges.txt", [b'a', b' ', 0xc3], &["UTF-8"]);
}

#[test]
fn clashing_and_missing_ids() {
    let from = fixture("byte_level");
    let text = std::fs::read_to_string(from.join("added_tokens.json")).unwrap();
    let last = load(&from).vocab_size() - 1;
    let (rej, seg) = (format!(": {last}"), format!(": {}", last - 1));
    let clash = text.replace(&rej, &seg);
    spoilt(&from, "added_tokens.json", clash, &["has that id already", &seg[2..]]);
    let hole = text.replace(&rej, &format!(": {}", last + 1));
    let dir = copy(&from);
    std::fs::write(dir.path().join("added_tokens.json"), hole).unwrap();
    let message = message(dir.path());
    assert!(message.contains(&format!("id {last} belongs to no token")), "{message}");
    assert!(message.contains("[REJ]"), "{message}");
    // An id of an ordinary token, and a token that the vocabulary has elsewhere.
    spoilt(&from, "added_tokens.json", r#"{"[SEG]": 5}"#, &["`[SEG]` is given id 5", "`&`"]);
    spoilt(&from, "added_tokens.json", r#"{"&": 900}"#, &["the base vocabulary gives it id 5"]);
    spoilt(&from, "added_tokens.json", r#"{"x": -1}"#, &["whole number", "`x`: -1"]);
    spoilt(&from, "added_tokens.json", r#"{"": 1}"#, &["1 to 1024 bytes"]);
}

#[test]
fn two_files_that_disagree() {
    let from = reference("internlm2_lora");
    spoilt(&from, "added_tokens.json", r#"{"[SEG]": 1212}"#, &["the token has id 1211 already"]);
    spoilt(&from, "added_tokens.json", r#"{"[NEW]": 1212}"#, &["`[REJ]` has that id already"]);
    let config = |decoder: &str| format!(r#"{{"added_tokens_decoder": {decoder}}}"#);
    let name = "tokenizer_config.json";
    spoilt(&from, name, config("3"), &["`added_tokens_decoder`, found 3"]);
    spoilt(&from, name, config(r#"{"x": {"content": "a"}}"#), &["ids with", "`x`: {"]);
    spoilt(&from, name, config(r#"{"9": "a"}"#), &["an object with `content`", "found `9`: \"a\""]);
}

/// InternLM2's vocabulary has placeholders such as `[UNUSED_TOKEN_1]`, whose ids its added tokens
/// take over.
#[test]
fn placeholders_may_be_taken_over() {
    let dir = copy(&fixture("dummy_fold"));
    let before = load(dir.path());
    let id = before.token_id("[UNUSED_TOKEN_1]").unwrap();
    assert_eq!(before.encode("[UNUSED_TOKEN_1]").unwrap().last(), Some(&id));
    edit(dir.path(), "tokenizer_config.json", |config| {
        config["added_tokens_decoder"][id.to_string()] = json!({"content": "<|plugin|>"});
    });
    let after = load(dir.path());
    assert_eq!(after.encode("<|plugin|>").unwrap(), [id]);
    assert_eq!(after.decode(&[id], false).unwrap(), "<|plugin|>");
    assert_eq!(after.token_id("[UNUSED_TOKEN_1]"), None);
    assert_eq!(after.vocab_size(), before.vocab_size());
}

#[test]
fn unsupported_library_files() {
    let from = fixture("library");
    let with = |path: &str, new: Value| {
        let mut value = json(&from, "tokenizer.json");
        *value.pointer_mut(path).unwrap() = new;
        value.to_string()
    };
    let map = json!({"type": "Sequence", "normalizers": [{"type": "Precompiled"}]});
    let name = "tokenizer.json";
    spoilt(&from, name, with("/normalizer", map), &["compiled character map"]);
    spoilt(&from, name, with("/model/type", "Unigram".into()), &["type BPE", "type Unigram"]);
    spoilt(&from, name, with("/model/merges/3", "a zzzzzz".into()), &["merge 3", "a zzzzzz"]);
    spoilt(&from, name, with("/model/vocab/a", 9999.into()), &["`a` with id 9999"]);
    spoilt(
        &from,
        name,
        with("/added_tokens/2/id", 5000.into()),
        &["the next id without a gap is 423", "5000"],
    );
    spoilt(&from, name, "{}", &["type BPE"]);
    spoilt(&from, name, r#"{"model": {"#, &["a JSON object", "EOF"]);
}

/// A vocabulary without all bytes needs an unknown token.
#[test]
fn bytes_that_the_vocabulary_lacks() {
    let dir = copy(&fixture("byte_level"));
    std::fs::remove_file(dir.path().join("added_tokens.json")).unwrap();
    std::fs::remove_file(dir.path().join("special_tokens_map.json")).unwrap();
    // As in Python: the class's own special token comes next where no file has it.
    let end = load(dir.path()).vocab_size() as u32 - 1;
    assert_eq!(load(dir.path()).encode("<|endoftext|>").unwrap(), [end]);
    let small = r#"{"a": 0, "b": 1}"#;
    std::fs::write(dir.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    spoilt(dir.path(), "vocab.json", small, &["each of the 256 bytes", "none for `!`"]);
    let unknown = r#"{"a": 0, "b": 1, "<|endoftext|>": 2}"#;
    std::fs::write(dir.path().join("vocab.json"), unknown).unwrap();
    assert_eq!(load(dir.path()).encode("abcé").unwrap(), [0, 1, 2, 2, 2]);
}

#[test]
fn an_unreadable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tokenizer.model")).unwrap();
    assert!(message(dir.path()).contains("expected a tokenizer"));
    let file = std::fs::File::create(dir.path().join("merges.txt")).unwrap();
    file.set_len((256 << 20) + 1).unwrap();
    std::fs::write(dir.path().join("vocab.json"), "{}").unwrap();
    let large = message(dir.path());
    assert!(large.contains("at most 268435456 bytes") && large.contains("merges.txt"), "{large}");
}
