//! `convert` and `merge-lora --layout`: whole folders, to the layout of transformers and back.

use std::fs;

use mllmseg::convert::{ConvertError, convert};
use mllmseg::merge::merge_lora;
use mllmseg::model::config::Layout;
use mllmseg::{Segmenter, device};
use serde_json::{Value, json};

use super::support::*;

/// Qwen2 with `vocab.json`, and InternLM2 with separate LoRA and `tokenizer.model`.
#[test]
fn a_reference_case_keeps_its_tensors_configuration_tokens_and_masks() {
    for name in ["qwen2", "internlm2_lora"] {
        let (place, published) = (scratch(), checkpoint(name));
        let [native, again] = ["native", "again"].map(|name| place.path().join(name));
        let written = convert(&published, &native, Layout::Transformers).unwrap();
        assert_eq!(written.tensors, tensors_of(&native).len());
        convert(&native, &again, Layout::InternVl).unwrap();
        assert_eq!(tensors_of(&published), tensors_of(&again));

        let [before, middle, after] =
            [&published, &native, &again].map(|dir| read_json(&dir.join("config.json")));
        assert_eq!(middle["model_type"], "internvl");
        assert_eq!(middle["text_config"]["vocab_size"], before["llm_config"]["vocab_size"]);
        assert_eq!(after["use_llm_lora"], before["use_llm_lora"]);
        for section in ["llm_config", "vision_config"] {
            for (key, value) in before[section].as_object().unwrap() {
                let is_left_out = ["auto_map", "attn_implementation"].contains(&&**key);
                assert!(is_left_out || after[section][key] == *value, "{section}.{key}");
            }
        }
        let [before, middle, after] =
            [&published, &native, &again].map(|dir| Segmenter::load(dir, &device::cpu()).unwrap());
        assert_eq!((&before.config, &after.config), (&middle.config, &before.config));
        // By which transformers' tokenizer gives the ids of the case: LlamaTokenizerFast would add a space.
        let tokenizer = read_json(&native.join("tokenizer_config.json"));
        let is_llama = name != "qwen2";
        let expected =
            if is_llama { [false.into(), true.into()] } else { [Value::Null, Value::Null] };
        assert_eq!(
            [&tokenizer["add_prefix_space"], &tokenizer["add_bos_token"]],
            expected.each_ref()
        );
        let token = read_json(&native.join("config.json"))["image_token_id"].clone();
        assert_eq!(token, before.special.img_context);
        let image = image_of(name);
        let [before, middle, after] = [before, middle, after].map(|model| {
            let session = model.encode(&image).unwrap();
            let asked = ["a dog", "the man in the red shirt"];
            asked.map(|expression| session.segment(expression).unwrap().probabilities)
        });
        assert_eq!((&before, &after), (&middle, &before));
    }
}

/// What transformers' processor reads; its numbers are those of the published `build_transform`.
#[test]
fn the_folder_has_what_the_processor_of_transformers_reads() {
    let (place, published) = (scratch(), copy_of(&checkpoint("qwen2")));
    fs::write(published.path().join("modeling_internvl_chat.py"), "# code").unwrap();
    let clip = json!({ "feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 448, "size": 448,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3 });
    let preprocessor = published.path().join("preprocessor_config.json");
    fs::write(&preprocessor, clip.to_string()).unwrap();
    let native = place.path().join("native");
    convert(published.path(), &native, Layout::Transformers).unwrap();
    let [images, processor, tokenizer] =
        ["preprocessor_config.json", "processor_config.json", "tokenizer_config.json"]
            .map(|name| read_json(&native.join(name)));
    assert_eq!(images["size"], json!({ "height": 448, "width": 448 }));
    assert_eq!((&images["image_mean"], &images["resample"]), (&clip["image_mean"], &json!(3)));
    assert_eq!(processor["image_seq_length"], 256);
    assert_eq!(tokenizer["extra_special_tokens"]["context_image_token"], "<IMG_CONTEXT>");
    for name in ["vocab.json", "merges.txt", "added_tokens.json"] {
        assert_eq!(
            fs::read(published.path().join(name)).unwrap(),
            fs::read(native.join(name)).unwrap()
        );
    }
    assert!(!native.join("modeling_internvl_chat.py").exists());

    let again = place.path().join("again");
    convert(&native, &again, Layout::InternVl).unwrap();
    assert!(!again.join("processor_config.json").exists());
    // Other numbers have no place in any layout.
    edit_json(&preprocessor, |file| file["image_std"] = json!([0.5, 0.5, 0.5]));
    let error =
        convert(published.path(), &place.path().join("new"), Layout::Transformers).unwrap_err();
    assert!(matches!(error, ConvertError::Processor(_, "image_std", _, _)), "{error}");
    assert_eq!(names(place.path()), ["again", "native"]);
}

#[test]
fn merging_and_converting_is_the_same_in_either_order() {
    let place = scratch();
    let published = checkpoint("internlm2_lora");
    let path = |name: &str| place.path().join(name);
    convert(&published, &path("native"), Layout::Transformers).unwrap();
    merge_lora(&path("native"), &path("merged there"), None).unwrap();
    merge_lora(&published, &path("merged and converted"), Some(Layout::Transformers)).unwrap();
    merge_lora(&published, &path("merged"), None).unwrap();
    let merged = tensors_of(&path("merged there"));
    assert_eq!(merged, tensors_of(&path("merged and converted")));
    assert!(merged.keys().any(|name| name.ends_with("layers.1.self_attn.k_proj.weight")));
    merge_lora(&path("native"), &path("merged back"), Some(Layout::InternVl)).unwrap();
    assert_eq!(tensors_of(&path("merged back")), tensors_of(&path("merged")));
}

#[test]
fn the_command_converts_and_refuses_other_names() {
    let place = scratch();
    let (tiny, out) = (root().join("assets/tiny"), place.path().join("out"));
    let said = printed(mllmseg(["convert", "--layout", "transformers"]).args([&tiny, &out]));
    assert_says(&said, &["tensors in the layout of transformers"]);
    let refused = mllmseg(["convert", "--layout", "hf"]).args([&tiny, &out]).output().unwrap();
    assert_says(errors(&refused), &["internvl or transformers"]);
}
