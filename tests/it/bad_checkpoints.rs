//! Checkpoints that are not what they say: a clear error, never a panic.

use std::fs;
use std::path::PathBuf;

use mllmseg::{Segmenter, device};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::weights::CheckpointOptions;

use super::support::{assert_says, checkpoint, copy_of, drawn, edit_json, replace, tests};

/// A checkpoint folder of the `qwen2` case, to be damaged.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(copy_of(&checkpoint("qwen2")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        replace(&self.path(name), content);
    }

    fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        edit_json(&self.path(name), edit);
    }

    /// Loading fails with a message that has these words.
    fn fails(&self, words: &[&str]) {
        match Segmenter::load(self.0.path(), &device::cpu()) {
            Ok(_) => panic!("a broken checkpoint was loaded"),
            Err(error) => assert_says(error, words),
        }
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
    let folder = Folder::new();
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    folder.fails(&["no weights found", "model.safetensors", "pytorch_model.bin"]);
}

#[test]
fn safetensors_that_lie() {
    let folder = Folder::new();
    let whole = fs::read(folder.path("model.safetensors")).unwrap();
    let header_length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let fails = |content: &[u8], words: &[&str]| {
        folder.replace("model.safetensors", content);
        folder.fails(words);
    };

    let cut = &whole[..whole.len() - 1000];
    fails(cut, &["model.safetensors", "the header describes", "fetch the file again"]);
    fails(&whole[..5], &["found a file of 5 bytes"]);
    fails(&[], &["found a file of 0 bytes"]);
    let huge = [&u64::MAX.to_le_bytes(), &whole[8..4000]].concat();
    fails(&huge, &["the header claims 18446744073709551615 bytes"]);
    fails(&[&whole[..8], &vec![b'x'; header_length]].concat(), &["unusable header"]);

    let norm = "language_model.model.norm.weight";
    let with_header = |pointer: &str, value: Value, words: &[&str]| {
        let mut header: Value = serde_json::from_slice(&whole[8..8 + header_length]).unwrap();
        *header[norm].pointer_mut(pointer).unwrap() = value;
        let header = header.to_string().into_bytes();
        let length = (header.len() as u64).to_le_bytes();
        fails(&[&length[..], &header, &whole[8 + header_length..]].concat(), words);
    };
    // Offsets beyond the file, ranges that overlap, a dtype that does not fit the range.
    with_header("/data_offsets/1", json!(u64::MAX / 2), &["unusable header"]);
    with_header("/data_offsets", json!([0, 512]), &["unusable header"]);
    with_header("/dtype", json!("F16"), &["unusable header"]);
    with_header("/dtype", json!("F99"), &["unusable header"]);
    with_header("/shape", json!([u64::MAX / 2, 8]), &["unusable header"]);
    // The right number of bytes under a type that no weight has.
    with_header("/dtype", json!("U32"), &[norm, "expected f32, f16, bf16", "U32"]);
    with_header("/dtype", json!("I32"), &[norm, "dtype", "I32"]);
}

#[test]
fn indices_and_shards_that_disagree() {
    let index = "model.safetensors.index.json";
    let [first, shard] = [1, 2].map(|number| format!("model-0000{number}-of-00003.safetensors"));
    let healthy = drawn("qwen2", CheckpointOptions { shards: 3, ..Default::default() });
    let norm = "language_model.model.norm.weight";

    let fails = |damage: &dyn Fn(&Folder), words: &[&str]| {
        let broken = Folder(copy_of(healthy.path()));
        damage(&broken);
        broken.fails(words);
    };
    let points_to = |file: &str, words: &[&str]| {
        let damage = |value: &mut Value| value["weight_map"][norm] = json!(file);
        fails(&|folder| folder.edit_json(index, damage), words);
    };
    fails(
        &|folder| fs::remove_file(folder.path(&shard)).unwrap(),
        &[index, &shard, "not in the folder"],
    );
    let folder_of_its_name = |folder: &Folder| {
        fs::remove_file(folder.path(&shard)).unwrap();
        fs::create_dir(folder.path(&shard)).unwrap();
    };
    fails(&folder_of_its_name, &[index, &shard, "not in the folder"]);
    points_to(&first, &[index, norm, &first, "but it is not"]);
    points_to("../../etc/passwd", &["../../etc/passwd", "a file beside the index"]);
    fails(&|folder| folder.replace(index, "{\"weight_map\": 3"), &[index, "invalid type"]);
    let other = fs::read(healthy.path().join(&first)).unwrap();
    fails(&|folder| folder.replace(&shard, &other), &[&shard]);
}

#[test]
fn tensors_of_the_wrong_shape_or_name_are_counted_and_the_first_are_named() {
    let fails = |edit: &dyn Fn(&mut Value), words: &[&str]| {
        let folder = Folder::new();
        folder.edit_json("config.json", edit);
        folder.fails(words);
    };
    fails(
        &|config| {
            config["llm_config"]["intermediate_size"] = json!(512);
            config["vision_config"]["num_hidden_layers"] = json!(1);
        },
        &[
            "config.json",
            "language_model.model.layers.0.mlp.gate_proj.weight",
            "expected shape [512, 128], found [256, 128]",
            "unexpected tensor vision_model.encoder.layers.1.attn.proj.bias",
            "and 11 more: config.json has no such weight",
        ],
    );
    fails(
        &|config| config["vision_config"]["num_hidden_layers"] = json!(3),
        &[
            "missing tensor vision_model.encoder.layers.2.ls1",
            "vision_model.encoder.layers.2.attn.qkv.weight and 11 more",
        ],
    );
    fails(
        &|config| config["mask_decoder_config"] = json!({ "variant": "concat" }),
        &[
            "unexpected tensor res_decoder.ca_layer_v2l.decoder.layers.0.linear1.bias",
            "res_decoder.text_out_adapter.weight: expected shape [1024, 2048]",
        ],
    );
}

#[test]
fn configurations_that_mean_nothing() {
    let cases: [(&str, Value, &[&str]); 13] = [
        (
            "/llm_config/architectures",
            json!(["LlamaForCausalLM"]),
            &["LlamaForCausalLM", "InternLM2ForCausalLM"],
        ),
        ("/llm_config/hidden_size", json!(130), &["llm_config.hidden_size", "130"]),
        (
            "/llm_config/hidden_size",
            json!("wide"),
            &["config.json", "wide", "llm_config.hidden_size"],
        ),
        ("/llm_config/num_key_value_heads", json!(3), &["num_attention_heads", "3"]),
        ("/llm_config/num_key_value_heads", json!(0), &["num_key_value_heads", "found 0"]),
        ("/llm_config/vocab_size", json!(1u64 << 40), &["vocab_size", "1099511627776"]),
        (
            "/llm_config/rope_scaling",
            json!({ "type": "yarn", "factor": 4.0 }),
            &["rope_scaling", "yarn"],
        ),
        ("/vision_config/hidden_act", json!("relu"), &["hidden_act", "gelu", "relu"]),
        ("/llm_config/use_sliding_window", json!(true), &["use_sliding_window", "found true"]),
        ("/vision_config/qk_normalization", json!(true), &["qk_normalization", "InternViT-6B"]),
        ("/downsample_ratio", json!(0.0), &["downsample_ratio", "found 0"]),
        ("/select_layer", json!(-9), &["select_layer", "-9"]),
        ("/template", json!("chatml"), &["chatml", "internvl2_5"]),
    ];
    let folder = Folder::new();
    let healthy = fs::read(folder.path("config.json")).unwrap();
    for (pointer, value, words) in cases {
        fs::write(folder.path("config.json"), &healthy).unwrap();
        folder.edit_json("config.json", |config| match config.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => config["llm_config"]["rope_scaling"] = value,
        });
        folder.fails(words);
    }
    fs::write(folder.path("config.json"), &healthy[..healthy.len() / 2]).unwrap();
    folder.fails(&["config.json", "EOF"]);
}

#[test]
fn a_tokenizer_without_seg() {
    let folder = Folder::new();
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
    folder.fails(&["[SEG]"]);
}

#[test]
fn pytorch_files_that_are_none() {
    let folder = Folder::new();
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    let real = fs::read(tests("fixtures/pytorch_bin/pytorch_model.bin")).unwrap();
    let global = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.".to_vec();
    for bytes in [Vec::new(), b"not a pickle".to_vec(), real[..real.len() / 2].to_vec(), global] {
        fs::write(folder.path("pytorch_model.bin"), bytes).unwrap();
        folder.fails(&["pytorch_model.bin"]);
    }
}
