//! Checkpoints that are not what they say: a clear error, never a panic.

use std::path::Path;

use mllmseg::{Segmenter, device};
use serde_json::{Value, json};
use xtask::weights::{CheckpointOptions, write_checkpoint};

/// A small healthy checkpoint folder, of the `qwen2` case in three shards.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(shards: usize) -> Self {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/qwen2");
        let dir = tempfile::tempdir().unwrap();
        let options = CheckpointOptions { shards, ..Default::default() };
        write_checkpoint(&case, dir.path(), &options).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let text = std::fs::read(self.path(name)).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        edit(&mut value);
        std::fs::write(self.path(name), value.to_string()).unwrap();
    }

    /// What loading says.
    fn error(&self) -> String {
        match Segmenter::load(self.0.path(), &device::cpu()) {
            Ok(_) => panic!("a broken checkpoint was loaded"),
            Err(error) => error.to_string(),
        }
    }
}

/// All of these words, in any order.
fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}

#[test]
fn an_empty_folder_and_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Segmenter::load(dir.path(), &device::cpu()).unwrap_err().to_string();
    assert_says(&error, &["config.json", "tokenizer files"]);
    let error = Segmenter::load("/nowhere/at/all", &device::cpu()).unwrap_err().to_string();
    assert_says(&error, &["/nowhere/at/all/config.json"]);
}

#[test]
fn no_weights() {
    let folder = Folder::new(1);
    std::fs::remove_file(folder.path("model.safetensors")).unwrap();
    assert_says(&folder.error(), &["no weights found", "model.safetensors", "pytorch_model.bin"]);
}

#[test]
fn safetensors_that_lie() {
    let folder = Folder::new(1);
    let path = folder.path("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let header_length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;

    std::fs::write(&path, &whole[..whole.len() - 1000]).unwrap();
    assert_says(
        &folder.error(),
        &["model.safetensors", "the header describes", "fetch the file again"],
    );
    std::fs::write(&path, &whole[..5]).unwrap();
    assert_says(&folder.error(), &["found a file of 5 bytes"]);
    std::fs::write(&path, []).unwrap();
    assert_says(&folder.error(), &["found a file of 0 bytes"]);
    std::fs::write(&path, [&u64::MAX.to_le_bytes(), &whole[8..4000]].concat()).unwrap();
    assert_says(&folder.error(), &["the header claims 18446744073709551615 bytes"]);
    std::fs::write(&path, [&whole[..8], vec![b'x'; header_length].as_slice()].concat()).unwrap();
    assert_says(&folder.error(), &["unusable header"]);

    let with_header = |edit: &dyn Fn(&mut Value)| {
        let mut header: Value = serde_json::from_slice(&whole[8..8 + header_length]).unwrap();
        edit(&mut header);
        let header = header.to_string().into_bytes();
        let length = (header.len() as u64).to_le_bytes();
        let data = whole[8 + header_length..].to_vec();
        std::fs::write(&path, [length.to_vec(), header, data].concat()).unwrap();
        folder.error()
    };
    let norm = "language_model.model.norm.weight";
    // Offsets beyond the file, ranges that overlap, a dtype that does not fit the range.
    let beyond = with_header(&|header| header[norm]["data_offsets"][1] = json!(u64::MAX / 2));
    assert_says(&beyond, &["unusable header"]);
    let overlapping = with_header(&|header| header[norm]["data_offsets"] = json!([0, 512]));
    assert_says(&overlapping, &["unusable header"]);
    assert_says(&with_header(&|header| header[norm]["dtype"] = json!("F16")), &["unusable header"]);
    assert_says(&with_header(&|header| header[norm]["dtype"] = json!("F99")), &["unusable header"]);
    let huge = with_header(&|header| header[norm]["shape"] = json!([u64::MAX / 2, 8]));
    assert_says(&huge, &["unusable header"]);
    // The right number of bytes under a type that no weight has.
    let unsigned = with_header(&|header| header[norm]["dtype"] = json!("U32"));
    assert_says(&unsigned, &[norm, "expected f32, f16, bf16", "U32"]);
    let integers = with_header(&|header| header[norm]["dtype"] = json!("I32"));
    assert_says(&integers, &[norm, "dtype", "I32"]);
}

#[test]
fn indices_and_shards_that_disagree() {
    let index = "model.safetensors.index.json";
    let shard = "model-00002-of-00003.safetensors";

    let folder = Folder::new(3);
    std::fs::remove_file(folder.path(shard)).unwrap();
    assert_says(&folder.error(), &[index, shard, "not in the folder"]);

    let folder = Folder::new(3);
    let norm = "language_model.model.norm.weight";
    folder.edit_json(index, |value| {
        value["weight_map"][norm] = json!("model-00001-of-00003.safetensors")
    });
    assert_says(
        &folder.error(),
        &[index, norm, "model-00001-of-00003.safetensors", "but it is not"],
    );

    let folder = Folder::new(3);
    folder.edit_json(index, |value| value["weight_map"][norm] = json!("../../etc/passwd"));
    assert_says(&folder.error(), &["../../etc/passwd", "a file beside the index"]);

    let folder = Folder::new(3);
    std::fs::write(folder.path(index), "{\"weight_map\": 3").unwrap();
    assert_says(&folder.error(), &[index, "invalid type"]);

    let folder = Folder::new(3);
    std::fs::copy(folder.path("model-00001-of-00003.safetensors"), folder.path(shard)).unwrap();
    assert_says(&folder.error(), &[shard]);
}

#[test]
fn tensors_of_the_wrong_shape_or_name_are_all_named() {
    let folder = Folder::new(1);
    folder.edit_json("config.json", |config| {
        config["llm_config"]["intermediate_size"] = json!(512);
        config["vision_config"]["num_hidden_layers"] = json!(1);
    });
    let message = folder.error();
    assert_says(&message, &["config.json", "language_model.model.layers.0.mlp.gate_proj.weight"]);
    assert_says(&message, &["expected shape [512, 128], found [256, 128]"]);
    assert_says(&message, &["unexpected tensor vision_model.encoder.layers.1.ls1"]);

    let folder = Folder::new(1);
    folder
        .edit_json("config.json", |config| config["vision_config"]["num_hidden_layers"] = json!(3));
    assert_says(&folder.error(), &["missing tensor vision_model.encoder.layers.2.attn.qkv.weight"]);

    let folder = Folder::new(1);
    folder.edit_json("config.json", |config| {
        config["mask_decoder_config"] = json!({ "variant": "concat" });
    });
    let message = folder.error();
    assert_says(&message, &["unexpected tensor res_decoder.ca_layer_v2l.decoder.norm.weight"]);
    assert_says(&message, &["res_decoder.text_out_adapter.weight: expected shape [1024, 2048]"]);
}

#[test]
fn configurations_that_mean_nothing() {
    let cases: [(&str, Value, &[&str]); 12] = [
        (
            "/llm_config/architectures",
            json!(["LlamaForCausalLM"]),
            &["LlamaForCausalLM", "InternLM2ForCausalLM"],
        ),
        ("/llm_config/hidden_size", json!(130), &["llm_config.hidden_size", "130"]),
        ("/llm_config/hidden_size", json!("wide"), &["config.json", "wide", "line"]),
        ("/llm_config/num_key_value_heads", json!(3), &["num_attention_heads", "3"]),
        ("/llm_config/num_key_value_heads", json!(0), &["num_key_value_heads", "found 0"]),
        ("/llm_config/vocab_size", json!(1u64 << 40), &["vocab_size", "1099511627776"]),
        (
            "/llm_config/rope_scaling",
            json!({ "type": "yarn", "factor": 4.0 }),
            &["rope_scaling", "yarn"],
        ),
        ("/vision_config/hidden_act", json!("relu"), &["hidden_act", "gelu", "relu"]),
        ("/vision_config/qk_normalization", json!(true), &["qk_normalization", "InternViT-6B"]),
        ("/downsample_ratio", json!(0.0), &["downsample_ratio", "found 0"]),
        ("/select_layer", json!(-9), &["select_layer", "-9"]),
        ("/template", json!("chatml"), &["chatml", "internvl2_5"]),
    ];
    let folder = Folder::new(1);
    let healthy = std::fs::read(folder.path("config.json")).unwrap();
    for (pointer, value, words) in cases {
        std::fs::write(folder.path("config.json"), &healthy).unwrap();
        folder.edit_json("config.json", |config| match config.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => config["llm_config"]["rope_scaling"] = value,
        });
        assert_says(&folder.error(), words);
    }
    std::fs::write(folder.path("config.json"), &healthy[..healthy.len() / 2]).unwrap();
    assert_says(&folder.error(), &["config.json", "EOF"]);
}

#[test]
fn a_tokenizer_without_seg() {
    let folder = Folder::new(1);
    folder.edit_json("added_tokens.json", |tokens| {
        tokens.as_object_mut().unwrap().remove("[SEG]");
        tokens.as_object_mut().unwrap().remove("[REJ]");
    });
    folder.edit_json("tokenizer_config.json", |config| {
        let tokens = config["added_tokens_decoder"].as_object_mut().unwrap();
        tokens.retain(|_, token| token["content"] != "[SEG]" && token["content"] != "[REJ]");
        config["additional_special_tokens"] = json!([]);
    });
    folder.edit_json("special_tokens_map.json", |map| map["additional_special_tokens"] = json!([]));
    assert_says(&folder.error(), &["[SEG]"]);
}

#[test]
fn pytorch_files_that_are_none() {
    let folder = Folder::new(1);
    std::fs::remove_file(folder.path("model.safetensors")).unwrap();
    let real =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch_bin/pytorch_model.bin");
    let real = std::fs::read(real).unwrap();
    let global = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.".to_vec();
    for bytes in [Vec::new(), b"not a pickle".to_vec(), real[..real.len() / 2].to_vec(), global] {
        std::fs::write(folder.path("pytorch_model.bin"), bytes).unwrap();
        assert_says(&folder.error(), &["pytorch_model.bin"]);
    }
}
