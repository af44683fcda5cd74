//! Presets against the configurations and weights of published files, as far as others quote them
//! (`fixtures/published.json` names who does), and README's table of presets.

use burn::tensor::Device;
use mllmseg_model::config::{Architecture, LanguageConfig};
use mllmseg_model::parameters::parameter_count;
use mllmseg_model::{Mllmseg, MllmsegConfig, Preset};
use serde_json::Value;

/// `[SEG]` and `[REJ]`, which presets have and bases do not.
const ADDED_ROWS: usize = 2;
/// InternViT-300M, whose card says 304 million.
const VISION: usize = 304_012_288;

fn bases() -> impl Iterator<Item = (Preset, MllmsegConfig)> {
    let bases = Preset::ALL.into_iter().filter(|preset| *preset != Preset::Tiny);
    bases.map(|preset| (preset, preset.config()))
}

fn published() -> Value {
    serde_json::from_str(include_str!("fixtures/published.json")).unwrap()
}

/// Rows of the published token table.
fn published_rows(language: &LanguageConfig) -> usize {
    let is_grown = language.architecture != Architecture::Qwen3;
    language.vocab_size - if is_grown { ADDED_ROWS } else { 0 }
}

/// A language model with two tables, by hand: projections, biases or norms of heads, MLP, norms.
fn language_parameters(language: &LanguageConfig, rows: usize) -> usize {
    let (width, heads) = (language.hidden_size, language.num_attention_heads);
    let head = if language.architecture == Architecture::Qwen3 { 128 } else { width / heads };
    let kv_heads = language.num_key_value_heads;
    let projections = 2 * width * head * (heads + kv_heads);
    let vectors = match language.architecture {
        Architecture::InternLm2 => 0,
        Architecture::Qwen2 => head * (heads + 2 * kv_heads),
        Architecture::Qwen3 => 2 * head,
    };
    let mlp = 3 * width * language.intermediate_size;
    let layer = projections + vectors + mlp + 2 * width;
    language.num_hidden_layers * layer + 2 * rows * width + width
}

#[test]
fn presets_are_what_published_files_say() {
    let published = published();
    for (preset, config) in bases() {
        let mut found = config.to_json(None)["llm_config"].take();
        found["vocab_size"] = published_rows(&config.language).into();
        for (key, expected) in published[preset.name()]["llm_config"].as_object().unwrap() {
            let is_same = match (&found[key], expected) {
                (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
                (a, b) => a == b,
            };
            assert!(is_same, "{preset:?} {key}: {} {expected}", found[key]);
        }
    }
}

#[test]
fn parameters_are_counted_exactly_and_weigh_as_published() {
    let published = published();
    for (preset, config) in bases() {
        let model = Mllmseg::new(&config, None, &Device::flex()); // nothing is drawn before it is used
        let language = &config.language;
        let width = language.hidden_size;
        let projector = 2 * 4096 + (4096 + 1) * width + (width + 1) * width;
        let rows = language.vocab_size;
        assert_eq!(parameter_count(&model.language_model), language_parameters(language, rows));
        assert_eq!(parameter_count(&model.vision), VISION);
        assert_eq!(parameter_count(&model.projector), projector, "{preset:?}");
        // Files of bf16; with one table less they would miss it by 0.27 GB and more.
        let base = &published[preset.name()];
        let Some(gigabytes) = base["gigabytes"].as_f64() else { continue };
        let rows = published_rows(language);
        let weights = language_parameters(language, rows) + VISION + projector;
        let difference = gigabytes - 2.0 * weights as f64 / 1e9;
        assert!(difference.abs() <= base["within"].as_f64().unwrap(), "{preset:?} {difference}");
    }
}

#[test]
fn the_readme_counts_the_parameters_of_every_base() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let row = |name: &str| readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    for (preset, config) in bases() {
        let kind = match config.language.architecture {
            Architecture::InternLm2 => "InternLM2",
            Architecture::Qwen2 => "Qwen2",
            Architecture::Qwen3 => "Qwen3",
        };
        let model = Mllmseg::new(&config, None, &Device::flex());
        let counts = [parameter_count(&model.language_model), parameter_count(&model)];
        let cells: Vec<_> = row(preset.name()).unwrap().split('|').map(str::trim).collect();
        assert_eq!(cells[2], kind, "{preset:?}");
        let written =
            [cells[3], cells[4]].map(|cell| cell.replace(',', "").parse::<usize>().unwrap());
        assert_eq!(counts, written, "{preset:?}");
    }
}
