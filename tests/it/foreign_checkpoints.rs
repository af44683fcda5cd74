//! Checkpoints as other programs write them: the same masks as the published layout, or a few lines
//! that say why not. Each is made from the tiny model.

use std::fs;
use std::path::{Path, PathBuf};

use mllmseg::model::checkpoint::SaveOptions;
use mllmseg::model::config::Layout;
use mllmseg::{Segmenter, device};
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::*;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A copy of the tiny model, to be written as others write it.
struct Tiny(TempDir);

impl Tiny {
    fn new() -> Self {
        Self(copy_of(&root().join("assets/tiny")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(self, edit: impl FnOnce(&mut Value)) -> Self {
        edit_json(&self.path("config.json"), edit);
        self
    }

    fn tensors(&self) -> Tensors {
        tensors_of(self.0.path())
    }

    /// Every tensor under another name; `None` leaves it out.
    fn renamed(self, name: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self.tensors().into_iter();
        let tensors = tensors.filter_map(|(old, tensor)| Some((name(&old)?, tensor)));
        write(&self.path(WEIGHTS), &tensors.collect());
        self
    }

    fn masks(&self) -> Vec<f32> {
        masks(self.0.path())
    }

    /// Loading fails in at most three lines with these words.
    #[track_caller]
    fn fails(&self, words: &[&str]) {
        let error = Segmenter::load(self.0.path(), &device::cpu()).expect_err("loaded").to_string();
        assert_says(&error, words);
        assert!(error.lines().count() <= 3, "{error}");
    }

    #[track_caller]
    fn notes(&self, words: &[&str]) {
        let report = Segmenter::load(self.0.path(), &device::cpu()).unwrap().report;
        assert_eq!(report.notes.len(), words.len(), "{:?}", report.notes);
        report.notes.iter().zip(words).for_each(|(note, word)| assert_says(note, &[word]));
    }
}

fn write(path: &Path, tensors: &Tensors) {
    write_tensors(path, tensors, None);
}

fn f32_tensor(shape: [usize; 2], value: impl Fn(usize) -> f32) -> (Dtype, Vec<usize>, Vec<u8>) {
    let bytes = (0..shape[0] * shape[1]).flat_map(|i| value(i).to_le_bytes()).collect();
    (Dtype::F32, shape.to_vec(), bytes)
}

/// Probabilities of two expressions on the example scene.
fn masks(dir: &Path) -> Vec<f32> {
    masks_of(&Segmenter::load(dir, &device::cpu()).unwrap())
}

fn masks_of(segmenter: &Segmenter) -> Vec<f32> {
    let image = mllmseg::data::image::read_image(root().join("examples/scene.png")).unwrap();
    let session = segmenter.encode(&image).unwrap();
    let found =
        ["the red star", "the small star"].map(|e| session.segment(e).unwrap().probabilities);
    found.concat()
}

fn published() -> Vec<f32> {
    masks(&root().join("assets/tiny"))
}

#[test]
fn versions_of_transformers_spell_the_same_configuration() {
    let rope_5 = Tiny::new().config(|config| {
        let language = config["llm_config"].as_object_mut().unwrap();
        let theta = language.remove("rope_theta").unwrap();
        language.remove("rope_scaling");
        language.insert(
            "rope_parameters".into(),
            json!({ "rope_theta": theta, "rope_type": "default" }),
        );
        language.insert("dtype".into(), json!("float32"));
    });
    let lists = Tiny::new().config(|config| {
        config["force_image_size"] = json!([96, 96]);
        config["vision_config"]["image_size"] = json!([96, 96]);
        config["vision_config"]["patch_size"] = json!([8, 8]);
        config["llm_config"]["sliding_window"] = json!(4096);
        config["llm_config"]["head_dim"] = json!(32);
        config["llm_config"]["layer_types"] = json!(["full_attention"]);
    });
    let expected = published();
    assert_eq!(rope_5.masks(), expected);
    assert_eq!(lists.masks(), expected);
    // Another base of the rotary embedding gives other masks: it was read.
    let other = rope_5.config(|c| c["llm_config"]["rope_parameters"]["rope_theta"] = json!(1e4));
    assert!(difference(&other.masks(), &expected) > 1e-3);

    let said = printed(mllmseg(["info"]).arg(other.0.path()));
    assert_says(said, &["rope 10000.0 with scaling null"]);
}

#[test]
fn values_that_this_network_does_not_compute_are_refused_by_their_key() {
    let refused: [(&str, Value, &str); 11] = [
        ("/llm_config/rope_parameters", json!({ "rope_theta": 1e4 }), "rope_theta"),
        ("/llm_config/rope_scaling", json!({ "rope_type": "yarn", "factor": 4.0 }), "yarn"),
        ("/llm_config/head_dim", json!(64), "llm_config.head_dim"),
        ("/llm_config/layer_types", json!(["sliding_attention"]), "layer_types"),
        ("/llm_config/model_type", json!("qwen3"), "llm_config.model_type"),
        ("/llm_config/hidden_act", json!("gelu"), "llm_config.hidden_act"),
        ("/vision_config/hidden_act", json!("gelu_pytorch_tanh"), "vision_config.hidden_act"),
        ("/vision_config/layer_norm_epsilon", json!(1e-5), "vision_config.layer_norm_eps"),
        ("/vision_config/image_size", json!([96, 48]), "vision_config.image_size"),
        ("/llm_config/vocab_size", json!(585), "llm_config.vocab_size"),
        ("/quantization_config", json!({ "quant_method": "gptq" }), "gptq"),
    ];
    for (pointer, value, word) in refused {
        let (section, key) = pointer.rsplit_once('/').unwrap();
        let model = Tiny::new().config(|config| config.pointer_mut(section).unwrap()[key] = value);
        model.fails(&[word]);
    }
}

#[test]
fn a_tied_table_may_be_left_out_where_the_configuration_says_so() {
    let head = "language_model.lm_head.weight";
    let without = || Tiny::new().renamed(|name| (name != head).then(|| name.to_string()));
    without().fails(&["missing tensor", head, "tie_word_embeddings"]);
    let tied = without().config(|config| config["tie_word_embeddings"] = json!(true));
    tied.fails(&["tie_word_embeddings"]); // the language model's own key says no
    let tied = tied.config(|config| config["llm_config"]["tie_word_embeddings"] = json!(true));

    let spelled_out = Tiny::new();
    let mut tensors = spelled_out.tensors();
    let table = tensors["language_model.model.embed_tokens.weight"].clone();
    tensors.insert(head.into(), table);
    write(&spelled_out.path(WEIGHTS), &tensors);
    assert_eq!(tied.masks(), spelled_out.masks());

    let out = scratch();
    Segmenter::load(tied.0.path(), &device::cpu())
        .unwrap()
        .save(out.path(), Default::default())
        .unwrap();
    assert_eq!(tensors_of(out.path()), tensors);
    let saved = read_json(&out.path().join("config.json"));
    assert_eq!(saved["llm_config"]["tie_word_embeddings"], false);
}

/// Adapters of rank 4 on every layer, `B A` merged by hand with the scale 1.
fn with_adapters(merged: bool) -> Tiny {
    let model = Tiny::new();
    let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 101.0 - 0.5;
    let mut tensors = Tensors::new();
    for (name, (dtype, shape, bytes)) in model.tensors() {
        let is_language = name.starts_with("language_model.");
        let Some(layer) = name.strip_suffix("_proj.weight").filter(|_| is_language) else {
            let base = name.replace("_proj.bias", "_proj.base_layer.bias");
            let name = if is_language && !merged { base } else { name };
            tensors.insert(name, (dtype, shape, bytes));
            continue;
        };
        let [rows, columns] = shape[..] else { panic!("{name}") };
        let (a, b) = (|i: usize| value(i) * 0.2, |i: usize| value(i + 5) * 0.2);
        if merged {
            let weight = f32s(&bytes);
            let sum = |i: usize| {
                let update: f32 =
                    (0..4).map(|k| b(i / columns * 4 + k) * a(k * columns + i % columns)).sum();
                weight[i] + update
            };
            tensors.insert(name.clone(), f32_tensor([rows, columns], sum));
        } else {
            tensors.insert(format!("{layer}_proj.base_layer.weight"), (dtype, shape, bytes));
            tensors
                .insert(format!("{layer}_proj.lora_A.default.weight"), f32_tensor([4, columns], a));
            tensors.insert(format!("{layer}_proj.lora_B.default.weight"), f32_tensor([rows, 4], b));
        }
    }
    write(&model.path(WEIGHTS), &tensors);
    model
}

#[test]
fn the_scale_of_adapters_is_read() {
    let expected = with_adapters(true).masks();
    let separate = with_adapters(false);
    let adapter = |alpha: f64, rslora: bool| {
        let config =
            json!({ "peft_type": "LORA", "r": 4, "lora_alpha": alpha, "use_rslora": rslora });
        fs::write(separate.path("adapter_config.json"), config.to_string()).unwrap();
    };
    assert!(difference(&separate.masks(), &expected) > 1e-3, "the published scale is 2");
    let info = printed_json(mllmseg(["info", "--json"]).arg(separate.0.path()));
    assert_eq!(info["weights"]["lora_scale"], 2.0);
    assert!(info["assumed"].to_string().contains("lora_alpha"));
    for (alpha, rslora) in [(4.0, false), (2.0, true)] {
        adapter(alpha, rslora);
        assert!(difference(&separate.masks(), &expected) < 1e-5);
        let out = scratch();
        let [saved, merged] = ["saved", "merged"].map(|name| out.path().join(name));
        let segmenter = Segmenter::load(separate.0.path(), &device::cpu()).unwrap();
        segmenter.save(&saved, Default::default()).unwrap();
        assert_eq!(read_json(&saved.join("adapter_config.json"))["lora_alpha"], 4.0);
        assert!(difference(&masks(&saved), &expected) < 1e-5);
        printed(mllmseg(["merge-lora"]).args([separate.0.path(), &merged]));
        assert!(difference(&masks(&merged), &expected) < 1e-5);
    }
    for (key, value) in [("use_dora", json!(true)), ("r", json!(8)), ("lora_alpha", json!(null))] {
        adapter(4.0, false);
        edit_json(&separate.path("adapter_config.json"), |config| config[key] = value);
        separate.fails(&["adapter_config.json", key]);
    }
}

/// An adapter that PEFT saved alone, around the whole model or around the language model.
#[test]
fn an_adapter_of_its_own_folder_is_added() {
    let expected = with_adapters(true).masks();
    let factors = with_adapters(false).tensors();
    for front in ["base_model.model.language_model.", "base_model.model."] {
        let (model, adapter) = (Tiny::new(), scratch());
        let own =
            factors.iter().filter(|(name, _)| name.contains(".lora_")).map(|(name, tensor)| {
                (name.replace("language_model.", front).replace(".default", ""), tensor.clone())
            });
        write(&adapter.path().join("adapter_model.safetensors"), &own.collect());
        let load = || {
            let dtype = device::DtypeChoice::F32;
            Segmenter::load_with_adapter(model.0.path(), &adapter, &device::cpu(), dtype)
        };
        assert_says(load().unwrap_err(), &["adapter_config.json beside it"]);
        let config = json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 4, "use_rslora": false });
        fs::write(adapter.path().join("adapter_config.json"), config.to_string()).unwrap();
        let segmenter = load().unwrap();
        assert_eq!((segmenter.report.lora_rank, segmenter.config.use_llm_lora), (Some(4), 4));
        assert!(difference(&masks_of(&segmenter), &expected) < 1e-5);
        // Beside the model it is added as well.
        copy_folder(adapter.path(), model.0.path());
        assert!(difference(&model.masks(), &expected) < 1e-5);
        model.notes(&["adapter_model.safetensors is added"]);
    }
}

#[test]
fn of_several_files_the_right_one_counts_or_none() {
    let expected = published();
    let stale = |model: &Tiny, names: [&str; 2]| {
        let tensors = model.tensors();
        let half = tensors.keys().nth(tensors.len() / 2).unwrap().clone();
        let mut first = tensors;
        let second = first.split_off(&half);
        let map = |part: &Tensors, file: &str| {
            part.keys().map(|name| (name.clone(), json!(file))).collect::<Vec<_>>()
        };
        let map: serde_json::Map<_, _> =
            [map(&first, names[0]), map(&second, names[1])].into_iter().flatten().collect();
        fs::write(model.path(INDEX), json!({ "weight_map": map }).to_string()).unwrap();
        [first, second]
    };
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let model = Tiny::new();
    let parts = stale(&model, names);
    model.notes(&[INDEX]); // the shards are gone
    assert_eq!(model.masks(), expected);
    names.iter().zip(&parts).for_each(|(name, part)| write(&model.path(name), part));
    model.fails(&[WEIGHTS, INDEX, "either may be stale"]);
    fs::remove_file(model.path(WEIGHTS)).unwrap();
    assert_eq!(model.masks(), expected);
    fs::write(model.path("model-00003-of-00003.safetensors"), "old").unwrap();
    model.notes(&["model-00003-of-00003.safetensors"]);
    fs::write(model.path("pytorch_model.bin"), "old").unwrap();
    model.notes(&["pytorch_model.bin", "model-00003"]);
    write(&model.path(names[1]), &parts[0]);
    model.fails(&[names[1], "already in", names[0]]);

    let model = Tiny::new();
    stale(&model, [WEIGHTS, WEIGHTS]);
    model.notes(&[]); // an index of the one file
    replace(&model.path(WEIGHTS), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    model.fails(&[WEIGHTS, "git lfs pull"]);
    fs::remove_file(model.path(INDEX)).unwrap();
    fs::rename(model.path(WEIGHTS), model.path("model.gguf")).unwrap();
    model.fails(&["no weights found", "model.gguf"]);
}

#[test]
fn quantised_weights_are_named() {
    let up = "language_model.model.layers.0.mlp.up_proj.weight";
    for mark in
        ["weight.absmax", "weight.quant_state.bitsandbytes__nf4", "qweight", "weight_scale_inv"]
    {
        let model = Tiny::new();
        let mut tensors = model.tensors();
        let name = format!("{}.{mark}", up.strip_suffix(".weight").unwrap());
        tensors.insert(name.clone(), (Dtype::U8, vec![4], vec![0; 4]));
        write(&model.path(WEIGHTS), &tensors);
        model.fails(&[&name, "quantised by"]);
    }
    let model = Tiny::new();
    let mut tensors = model.tensors();
    let (_, shape, bytes) = &tensors[up];
    tensors.insert(up.into(), (Dtype::F8_E4M3, shape.clone(), bytes[..bytes.len() / 4].to_vec()));
    write(&model.path(WEIGHTS), &tensors);
    model.fails(&[up, "F8_E4M3", "quantised"]);
}

#[test]
fn prefixes_are_taken_off_and_said() {
    let expected = published();
    for prefix in ["module.", "base_model.model.", "_orig_mod.", "model."] {
        let model = Tiny::new().renamed(|name| Some(format!("{prefix}{name}")));
        assert_eq!(model.masks(), expected);
        model.notes(&[&format!("`{prefix}`")]);
    }
    let half = Tiny::new().renamed(|name| match name.starts_with("vision_model.") {
        true => Some(format!("ema.{name}")),
        false => Some(name.into()),
    });
    half.fails(&[
        "missing tensor vision_model.embeddings",
        "unexpected tensor ema.vision",
        " more",
    ]);
}

/// The names and the configuration of transformers' own InternVL, of version 4.52 and of later ones.
fn native(newer: bool) -> Tiny {
    const VISION: [(&str, &str); 9] = [
        ("class_embedding", "cls_token"),
        ("position_embedding", "position_embeddings"),
        ("patch_embedding.", "patch_embeddings.projection."),
        ("encoder.layers.", "encoder.layer."),
        (".attn.proj.", ".attention.projection_layer."),
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
        (".ls1", ".lambda_1"),
        (".ls2", ".lambda_2"),
    ];
    let front = if newer { "model." } else { "" };
    let model = Tiny::new();
    let mut tensors = Tensors::new();
    for (name, tensor) in model.tensors() {
        if let Some((layer, leaf)) = name.split_once(".attn.qkv.") {
            let layer =
                layer.replace("vision_model.encoder.layers.", "vision_tower.encoder.layer.");
            let (dtype, mut shape, bytes) = tensor;
            shape[0] /= 3;
            for (part, bytes) in ["q", "k", "v"].iter().zip(bytes.chunks(bytes.len() / 3)) {
                let name = format!("{front}{layer}.attention.{part}_proj.{leaf}");
                tensors.insert(name, (dtype, shape.clone(), bytes.to_vec()));
            }
            continue;
        }
        let name = if let Some(vision) = name.strip_prefix("vision_model.") {
            let replace = |name: String, (from, to): &(&str, &str)| name.replace(from, to);
            format!("{front}vision_tower.{}", VISION.iter().fold(vision.to_string(), replace))
        } else if let Some(rest) = name.strip_prefix("mlp1.") {
            let rest = rest.replace("0.", "layer_norm.").replace("1.", "linear_1.");
            format!("{front}multi_modal_projector.{}", rest.replace("3.", "linear_2."))
        } else if newer && name == "language_model.lm_head.weight" {
            "lm_head.weight".into()
        } else if newer && name.starts_with("language_model.model.") {
            name.replace("language_model.model.", "model.language_model.")
        } else {
            name
        };
        assert!(tensors.insert(name, tensor).is_none());
    }
    write(&model.path(WEIGHTS), &tensors);
    model.config(|config| {
        let (vision, mut text) = (config["vision_config"].take(), config["llm_config"].take());
        let theta = text["rope_theta"].take();
        text["rope_parameters"] = json!({ "rope_theta": theta, "rope_type": "default" });
        *config = json!({
            "architectures": ["InternVLForConditionalGeneration"],
            "model_type": "internvl",
            "downsample_ratio": 0.5,
            "image_seq_length": 36,
            "image_token_id": 574,
            "projector_hidden_act": "gelu",
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
            "mask_decoder_config": config["mask_decoder_config"],
            "text_config": text,
            "vision_config": {
                "architectures": ["InternVLVisionModel"],
                "model_type": "internvl_vision",
                "attention_bias": true,
                "hidden_act": "gelu",
                "hidden_size": vision["hidden_size"],
                "image_size": [96, 96],
                "patch_size": [8, 8],
                "intermediate_size": vision["intermediate_size"],
                "layer_norm_eps": 1e-6,
                "norm_type": "layer_norm",
                "num_attention_heads": 4,
                "num_hidden_layers": 4,
                "use_qk_norm": false,
                "use_mean_pooling": true,
            },
        });
    })
}

#[test]
fn the_layout_of_transformers_gives_the_published_masks() {
    let expected = published();
    for newer in [false, true] {
        let model = native(newer);
        assert_eq!(model.masks(), expected);
        model.notes(&["as transformers names them"]);
        let (same, other) = (scratch(), scratch());
        let segmenter = Segmenter::load(model.0.path(), &device::cpu()).unwrap();
        segmenter.save(same.path(), SaveOptions::default()).unwrap();
        assert_eq!(tensors_of(same.path()), native(false).tensors(), "as it was read");
        let config = read_json(&same.path().join("config.json"));
        assert_eq!(
            (&config["model_type"], &config["image_token_id"]),
            (&json!("internvl"), &json!(574))
        );
        assert_eq!(masks(same.path()), expected);
        let options = SaveOptions { layout: Some(Layout::InternVl), ..SaveOptions::default() };
        segmenter.save(other.path(), options).unwrap();
        assert_eq!(tensors_of(other.path()), Tiny::new().tensors(), "saved as published");
        assert_eq!(masks(other.path()), expected);
    }
    let said = printed(mllmseg(["info"]).arg(native(true).0.path()));
    assert_says(said, &["template = internvl2_5"]);
    native(true)
        .config(|config| config["mask_decoder_config"] = Value::Null)
        .fails(&["mask_decoder_config", "InternVLForConditionalGeneration"]);
    native(true).config(|config| config["text_config"]["model_type"] = json!("mistral")).fails(&[
        "text_config.model_type",
        "mistral",
        "llama",
    ]);
    native(true)
        .config(|config| config["vision_config"]["use_mean_pooling"] = json!(false))
        .fails(&["use_mean_pooling"]);
}
