//! Saving, loading again, and growing a base model's vocabulary.

use super::super::{Tokenizer, TokenizerError};
use super::{copy, edit, fixture, json, load, reference};
use serde_json::Value;
use std::path::Path;

const TEXTS: [&str; 4] =
    ["Sure,umbrella:[SEG], cup:[REJ].", " <|im_start|>user\n左 x", "", "a [SEG] b  c\n[REJ]"];

fn same(a: &Tokenizer, b: &Tokenizer) {
    assert_eq!(a.vocab_size(), b.vocab_size());
    assert!(a.added_tokens().eq(b.added_tokens()));
    assert_eq!((a.bos_id(), a.eos_id(), a.pad_id()), (b.bos_id(), b.eos_id(), b.pad_id()));
    assert_eq!(a.adds_bos(), b.adds_bos());
    for text in TEXTS {
        assert_eq!(a.encode(text).unwrap(), b.encode(text).unwrap(), "{text:?}");
    }
}

#[test]
fn a_saved_tokenizer_loads_as_the_same() {
    let folders = ["dummy_fold", "dummy_keep_unknown", "byte_level", "library"];
    let folders = folders.map(fixture).into_iter();
    for dir in folders.chain([reference("internlm2_lora"), reference("qwen2")]) {
        let tokenizer = load(&dir);
        let out = tempfile::tempdir().unwrap();
        tokenizer.save(out.path()).unwrap();
        same(&tokenizer, &load(out.path()));
        // Saving over the folder that it came from is allowed too.
        let again = load(out.path());
        again.save(out.path()).unwrap();
        same(&tokenizer, &load(out.path()));
        let left = std::fs::read_dir(out.path()).unwrap().flatten();
        assert!(
            left.into_iter().all(|e| !e.file_name().to_string_lossy().starts_with(".mllmseg-"))
        );
    }
}

#[test]
fn saving_keeps_the_vocabulary_files_to_the_byte() {
    let dir = reference("internlm2_lora");
    let out = tempfile::tempdir().unwrap();
    load(&dir).save(out.path()).unwrap();
    let bytes = |dir: &Path| std::fs::read(dir.join("tokenizer.model")).unwrap();
    assert_eq!(bytes(&dir), bytes(out.path()));
    assert_eq!(json(&dir, "added_tokens.json"), json(out.path(), "added_tokens.json"));
    let (old, new) =
        (json(&dir, "special_tokens_map.json"), json(out.path(), "special_tokens_map.json"));
    assert_eq!(old, new);
    let mut old = json(&dir, "tokenizer_config.json");
    // Python writes "no limit" as an integer of 1e30; absent means the same to it.
    old.as_object_mut().unwrap().remove("model_max_length");
    assert_eq!(old, json(out.path(), "tokenizer_config.json"));
}

/// Takes `[SEG]` and `[REJ]` out of a folder, which makes it a base model's.
fn strip(dir: &Path, ids: [&str; 2]) {
    for name in ["added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"] {
        edit(dir, name, |value| {
            value.as_object_mut().unwrap().retain(|key, _| !["[SEG]", "[REJ]"].contains(&&**key));
            if let Some(Value::Object(decoder)) = value.get_mut("added_tokens_decoder") {
                decoder.retain(|id, _| !ids.contains(&&**id));
            }
            if let Some(Value::Array(list)) = value.get_mut("additional_special_tokens") {
                list.truncate(list.len() - 2);
            }
        });
    }
}

#[test]
fn a_base_models_tokenizer_grows_by_seg_and_rej() {
    for (name, ids) in [("internlm2_lora", ["1211", "1212"]), ("qwen2", ["1212", "1213"])] {
        let full = load(&reference(name));
        let dir = copy(&reference(name));
        strip(dir.path(), ids);
        let mut base = load(dir.path());
        assert_eq!(base.vocab_size() + 2, full.vocab_size());
        let error = base.special_tokens().unwrap_err();
        assert!(matches!(&error, TokenizerError::MissingToken { token, .. } if token == "[SEG]"));
        let message = error.to_string();
        assert!(
            message.contains("`[SEG]`") && message.contains("add_segmentation_tokens"),
            "{message}"
        );
        assert!(message.contains(dir.path().to_str().unwrap()), "{message}");

        assert_eq!(base.add_segmentation_tokens().unwrap(), 2);
        assert_eq!(base.add_segmentation_tokens().unwrap(), 0);
        same(&base, &full);
        let out = tempfile::tempdir().unwrap();
        base.save(out.path()).unwrap();
        same(&load(out.path()), &full);
        for file in ["added_tokens.json", "special_tokens_map.json"] {
            assert_eq!(json(&reference(name), file), json(out.path(), file), "{file}");
        }
        let config = json(out.path(), "tokenizer_config.json");
        let published = json(&reference(name), "tokenizer_config.json");
        for key in ["added_tokens_decoder", "additional_special_tokens"] {
            assert_eq!(config[key], published[key], "{key}");
        }
    }
}

#[test]
fn the_librarys_format_grows_too() {
    let dir = copy(&fixture("library"));
    edit(dir.path(), "tokenizer.json", |value| {
        let masks = ["[SEG]", "[REJ]"].map(Value::from);
        let tokens = value["added_tokens"].as_array_mut().unwrap();
        tokens.retain(|token| !masks.contains(&token["content"]));
    });
    let mut base = load(dir.path());
    assert_eq!(base.add_segmentation_tokens().unwrap(), 2);
    let full = load(&fixture("library"));
    assert_eq!(base.vocab_size(), full.vocab_size());
    for text in TEXTS {
        assert_eq!(base.encode(text).unwrap(), full.encode(text).unwrap());
    }
    let out = tempfile::tempdir().unwrap();
    base.save(out.path()).unwrap();
    assert_eq!(load(out.path()).token_id("[REJ]"), full.token_id("[REJ]"));
}

/// `added_tokens.json` beside `tokenizer.json` may repeat some of its tokens and continue after them.
#[test]
fn side_files_of_the_librarys_format_may_name_only_some_tokens() {
    let dir = copy(&fixture("library"));
    let full = load(dir.path());
    let (rej, next) = (full.token_id("[REJ]").unwrap(), full.vocab_size());
    let added = format!(r#"{{"[REJ]": {rej}, "<new>": {next}}}"#);
    std::fs::write(dir.path().join("added_tokens.json"), added).unwrap();
    let more = load(dir.path());
    assert_eq!(more.vocab_size(), next + 1);
    assert_eq!(more.encode("<new>[REJ]").unwrap(), [next as u32, rej]);
    let out = tempfile::tempdir().unwrap();
    more.save(out.path()).unwrap();
    same(&load(out.path()), &more);
}

/// A folder may list its special tokens in one file only; the other file must not hide them.
#[test]
fn a_list_in_one_file_stays_whole_when_tokens_are_added() {
    for (file, other) in [
        ("tokenizer_config.json", "special_tokens_map.json"),
        ("special_tokens_map.json", "tokenizer_config.json"),
    ] {
        let dir = copy(&reference("qwen2"));
        strip(dir.path(), ["1212", "1213"]);
        let list = json(dir.path(), file)["additional_special_tokens"].clone();
        edit(dir.path(), other, |value| {
            value.as_object_mut().unwrap().remove("additional_special_tokens");
        });
        let mut base = load(dir.path());
        base.add_segmentation_tokens().unwrap();
        let out = tempfile::tempdir().unwrap();
        base.save(out.path()).unwrap();
        let saved = json(out.path(), "tokenizer_config.json")["additional_special_tokens"].clone();
        let name = |token: &Value| token.get("content").unwrap_or(token).clone();
        let names = list.as_array().unwrap().iter().map(name);
        let names: Value = names.chain(["[SEG]", "[REJ]"].map(Value::from)).collect();
        assert_eq!(saved, names);
    }
}
