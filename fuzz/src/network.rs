//! The targets that need the network's crates: checkpoints, recipes, predictions, snapshots.

use std::fs;

use mllmseg::evaluate::read_predictions;
use mllmseg::model::checkpoint::WeightFiles;
use mllmseg::model::checkpoint::names::NameTable;
use mllmseg::model::checkpoint::safetensors::read_safetensors;
use mllmseg::model::config::MllmsegConfig;
use mllmseg::model::{Mllmseg, Preset};
use mllmseg::train::snapshot::{Progress, Snapshots, TrainState};
use mllmseg::train::{AdamW, OptimizerConfig, Recipe, TrainableSet, TrainingMode};
use tempfile::TempDir;

use super::data::Target;
use super::fragments::text;
use super::network_fragments as fragments;
use super::scratch::{with_file, with_files};

/// The targets.
pub const TARGETS: &[Target] = &[
    ("config", config),
    ("safetensors", safetensors),
    ("shards", shards),
    ("pytorch_bin", pytorch_bin),
    ("recipe", recipe),
    ("predictions", predictions),
    ("snapshot", snapshot),
];

thread_local! {
    static SNAPSHOT: Saved = Saved::new();
}

/// `config.json`. What is read is written so that it is read the same again.
pub fn config(bytes: &[u8]) {
    with_file("config.json", &text(bytes, fragments::CONFIG), |path| {
        let Ok(json) = std::fs::read_to_string(path) else { return };
        if let Ok(config) = MllmsegConfig::from_json(&json, path) {
            let again = config.to_json(None).to_string();
            let again = MllmsegConfig::from_json(&again, path).expect("own output");
            assert_eq!(again.to_json(None), config.to_json(None));
        }
    });
}

/// A safetensors file: its header, then its tensors.
pub fn safetensors(bytes: &[u8]) {
    with_file("model.safetensors", &with_length(bytes), |path| {
        let _ = path.parent().map(WeightFiles::open);
        let _ = read_safetensors(path);
    });
}

/// An index of shards, and one shard.
pub fn shards(bytes: &[u8]) {
    let index = text(bytes, fragments::INDEX);
    let files: &[(&str, &[u8])] =
        &[("model.safetensors.index.json", &index), ("a.safetensors", fragments::SAFETENSORS)];
    with_files(files, |folder| drop(WeightFiles::open(folder)));
}

/// `pytorch_model.bin`.
pub fn pytorch_bin(bytes: &[u8]) {
    with_files(&[("pytorch_model.bin", bytes)], |folder| drop(WeightFiles::open(folder)));
}

/// A recipe.
pub fn recipe(bytes: &[u8]) {
    with_file("recipe.toml", &text(bytes, fragments::RECIPE), |path| {
        if let Ok(recipe) = Recipe::read(path) {
            let _ = recipe.check();
        }
    });
}

/// A predictions file, as lines or as a list; every mask of it is drawn.
pub fn predictions(bytes: &[u8]) {
    with_file("predictions.jsonl", &text(bytes, fragments::PREDICTIONS), |path| {
        let _ = read_predictions(path, |prediction| {
            let _ = prediction.segmentation.decode();
            Ok(())
        });
    });
}

/// One file of a snapshot; a byte chooses which, and the others are whole.
pub fn snapshot(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let damaged = usize::from(*choice) % Saved::FILES.len();
    let bytes = match Saved::FILES[damaged] {
        "state.json" => text(bytes, fragments::STATE),
        _ => with_length(bytes),
    };
    SNAPSHOT.with(|saved| saved.restore(damaged, &bytes));
}

/// The tiny model, and a snapshot of it for each file, which is the one that is damaged there.
struct Saved {
    model: Mllmseg,
    snapshots: [(Snapshots, TempDir); 3],
}

impl Saved {
    const FILES: [&str; 3] = ["state.json", "trained.safetensors", "adamw.safetensors"];

    fn new() -> Self {
        let config = Preset::Tiny.config();
        let model = Mllmseg::new(&config, None, &mllmseg::device::cpu().device);
        let mode = TrainingMode { dropout: true, ..TrainingMode::AS_EVALUATION };
        let model = TrainableSet::LoraAndDecoder.prepare(model, mode);
        let snapshots = Self::FILES.map(|_| {
            let folder = super::scratch::folder();
            let table = NameTable::new(&config, false);
            let snapshots = Snapshots { dir: folder.path().to_owned(), keep: 1, table };
            snapshots.save(&start(&model)).expect("a snapshot");
            (snapshots, folder)
        });
        Self { model, snapshots }
    }

    fn restore(&self, damaged: usize, bytes: &[u8]) {
        let (snapshots, folder) = &self.snapshots[damaged];
        let file = folder.path().join(FOLDER).join(Self::FILES[damaged]);
        fs::write(file, bytes).expect("the file of an input");
        drop(snapshots.restore(None, start(&self.model)));
        // As in a training's first step: Burn frees leaves that nobody holds in a backward pass only.
        drop(self.model.mask_decoder.head.norm.gamma.val().sum().backward());
    }
}

/// After no step.
const FOLDER: &str = "step-00000000";

fn start(model: &Mllmseg) -> TrainState {
    let optimizer = AdamW::new(OptimizerConfig::default());
    TrainState { model: model.clone(), optimizer, progress: Progress::default() }
}

/// A safetensors header with the length before it that it has, where the first byte is odd.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let Some((first, rest)) = bytes.split_first() else { return Vec::new() };
    if first % 2 == 0 {
        return rest.to_vec();
    }
    let end = rest.iter().rposition(|&byte| byte == 0).unwrap_or(rest.len());
    let header = text(&rest[..end], fragments::SAFETENSORS_HEADER);
    [&(header.len() as u64).to_le_bytes()[..], &header, &rest[end..]].concat()
}
