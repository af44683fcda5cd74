//! The four commands that write for long, on small inputs.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mllmseg::scenes::{ImageFormat, SynthOptions, World, write_dataset};

use super::hub;
use crate::weights::{CheckpointOptions, write_checkpoint};

/// Contents of files by their names.
pub type Product = BTreeMap<String, Vec<u8>>;

/// A command and what it makes.
pub struct Workload {
    /// The command's name.
    pub name: &'static str,
    /// The command in a folder, to begin or to resume what is there.
    pub command: Box<dyn Fn(&Path) -> Command>,
    /// A file or folder in that folder, which must be whole or absent.
    product: &'static str,
    /// Whether the command refuses a product that is there, instead of resuming or repeating it.
    pub needs_new_folder: bool,
}

impl Workload {
    /// The product in `place`, if it is there.
    pub fn product(&self, place: &Path) -> Result<Option<Product>, Box<dyn Error>> {
        let path = place.join(self.product);
        if path.is_file() {
            return Ok(Some(BTreeMap::from([(self.product.into(), fs::read(path)?)])));
        }
        if !path.is_dir() {
            return Ok(None);
        }
        let mut product = Product::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_file() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                product.insert(name, fs::read(path)?);
            }
        }
        Ok(Some(product))
    }
}

/// Dropout, JPEG at random, validation and snapshots: all that a resume must repeat.
const RECIPE: &str = r#"
name = "torture"
seed = 3
steps = 16
data = { mix = ["refcoco", "grefcoco"], expressions_per_image = 3 }
batch = { images = 1, batches_per_step = 1 }
snapshots = { every = 2, keep = 2 }
validation = { dataset = "grefcoco", every = 8, expressions = 4 }
[new_model]
preset = "tiny"
mask_prior = -2.0
[trained]
weights = "everything"
"#;

/// All commands; their inputs are written to `inputs`.
pub fn all(program: &Path, inputs: &Path) -> Result<Vec<Workload>, Box<dyn Error>> {
    let [data, recipe, adapters] =
        ["data", "recipe.toml", "adapters"].map(|name| inputs.join(name));
    let options = SynthOptions {
        out: data.clone(),
        images: 4,
        train_images: 6,
        seed: 5,
        format: ImageFormat::Jpeg,
        world: World { expressions: [8, 8], ..World::small() },
    };
    write_dataset(&options, &mut |_, _| {})?;
    fs::write(&recipe, RECIPE)?;
    write_checkpoint(
        Path::new("tests/reference/internlm2_lora"),
        &adapters,
        &CheckpointOptions::default(),
    )?;
    let hub = hub::serve()?;
    let program: PathBuf = program.into();
    let mllmseg = move |command: &str| {
        let mut started = Command::new(&program);
        started.arg(command);
        started
    };
    let (train, eval, download) = (mllmseg.clone(), mllmseg.clone(), mllmseg.clone());
    let of_eval = data.clone();
    Ok(vec![
        Workload {
            name: "train",
            command: Box::new(move |place| {
                let run = place.join("run");
                let mut command = train("train");
                command.args(["--device", "cpu", "--plain", "--out"]).arg(&run);
                match run.join("run.toml").exists() {
                    true => command.arg("--resume"),
                    false => command.arg("--data").arg(&data).arg("--recipe").arg(&recipe),
                };
                command
            }),
            product: "run/model",
            needs_new_folder: false,
        },
        Workload {
            name: "eval",
            command: Box::new(move |place| {
                let predictions = place.join("predictions.jsonl");
                let mut command = eval("eval");
                command.args([
                    "--device",
                    "cpu",
                    "--dataset",
                    "grefcoco",
                    "--split",
                    "val",
                    "--data",
                ]);
                command.arg(&of_eval).arg("--predictions").arg(&predictions);
                command.args(place.join("predictions.jsonl.part").exists().then_some("--resume"));
                command
            }),
            product: "predictions.jsonl",
            needs_new_folder: false,
        },
        Workload {
            name: "download",
            command: Box::new(move |place| {
                let mut command = download("download");
                command.arg(hub::REPO).arg("--out").arg(place.join("model"));
                command.env("HF_ENDPOINT", &hub).env("HF_HOME", place.join("home"));
                command
            }),
            product: "model/model.safetensors",
            needs_new_folder: false,
        },
        Workload {
            name: "merge-lora",
            command: Box::new(move |place| {
                let mut command = mllmseg("merge-lora");
                command.arg(&adapters).arg(place.join("merged"));
                command
            }),
            product: "merged",
            needs_new_folder: true,
        },
    ])
}
