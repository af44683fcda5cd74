//! The paper's Table 4 at small scale: the four mask decoders, trained alike.
//!
//! As in the paper, vision encoder and language model are pretrained and the decoders are new: every
//! training starts from the tiny model with a new decoder, and trains that and adapters of the
//! language model.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use mllmseg::Segmenter;
use mllmseg::data::files::write_file;
use mllmseg::data::refer::Dataset;
use mllmseg::device::{self, DeviceList, SelectedDevice};
use mllmseg::model::Variant;
use mllmseg::model::checkpoint::{SaveOptions, save_model};
use mllmseg::model::mask_decoder::MaskDecoder;
use mllmseg::model::parameters::parameter_count;
use mllmseg::scenes::World;
use mllmseg::train::Recipe;
use mllmseg::train::recipe::{TrainedRecipe, TrainedWeights};
use mllmseg::training::{Start, Training};

use crate::tiny_model::{measure, synth, trained};

/// Numbers of images to train and to test on, and their seeds.
const TRAIN: (u64, u64) = (8_000, 11);
const TEST: (u64, u64) = (150, 20_261_124);
/// Rank of the adapters: an eighth of the width; published, 64 is at most a fourteenth.
const LORA_RANK: usize = 16;

/// The decoders, their names in the table, and cIoU and REC of RefCOCO val in the paper's Table 4.
const DECODERS: [(Variant, &str, &str); 4] = [
    (Variant::Vit, "T_img1 (details alone)", "79.7, 92.6"),
    (Variant::Llm, "T_img2 (semantics alone)", "79.5, 92.8"),
    (Variant::Concat, "both, side by side", "80.4, 93.1"),
    (Variant::Dsff, "DSFF (the model)", "81.0, 93.5"),
];

/// A table of trainings.
#[derive(Debug, Args)]
pub struct Ablation {
    /// Steps of each training
    #[arg(long, default_value_t = 400)]
    steps: usize,
    /// Trainings of each decoder, from seed 1 up
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Whose vision and language model they share
    #[arg(long, default_value = "assets/tiny")]
    base: PathBuf,
    /// Folder of the scenes and the runs
    #[arg(long, default_value = "target/ablation")]
    work: PathBuf,
    /// The table
    #[arg(long, default_value = "docs/book/src/ablation.md")]
    out: PathBuf,
    /// Devices that share each step
    #[arg(long, value_name = "LIST", default_value = "cpu,cpu")]
    devices: DeviceList,
}

impl Ablation {
    /// Runs the trainings that are not done yet, evaluates all, and writes the table.
    ///
    /// # Errors
    /// Whatever fails first; called again, it resumes.
    pub fn make(&self) -> Result<(), Box<dyn Error>> {
        let devices = self.devices.select()?;
        let device = devices.first().ok_or("no device")?;
        let (scenes, test) = (self.work.join("scenes"), self.work.join("test"));
        for (place, images, seed) in
            [(&scenes, (50, TRAIN.0), TRAIN.1), (&test, (TEST.0, 0), TEST.1)]
        {
            if !place.exists() {
                synth(place, World::small(), images, seed)?;
            }
        }
        let mut rows = String::new();
        for (variant, title, published) in DECODERS {
            let mut scores = [const { Vec::new() }; 3];
            let mut parameters = 0;
            for seed in 1..=self.seeds {
                eprintln!("{title}, seed {seed}");
                let model = self.train(variant, seed, &scenes, &devices)?;
                let segmenter = Segmenter::load(&model, device)?;
                parameters = parameter_count(&segmenter.model.mask_decoder);
                let columns = [
                    (Dataset::RefCoco, "ciou"),
                    (Dataset::GRefCoco, "giou"),
                    (Dataset::RefCoco, "rec_prec@0.5"),
                ];
                for ((dataset, name), values) in columns.into_iter().zip(&mut scores) {
                    let evaluation = measure(&segmenter, &test, dataset)?;
                    values.push(evaluation.summary.numbers.get(name).unwrap_or(0.0));
                }
            }
            let [ciou, giou, rec] = scores.map(spread);
            rows +=
                &format!("| {title} | {parameters} | {ciou} | {giou} | {rec} | {published} |\n");
        }
        Ok(write_file(&self.out, |file| file.write_all(self.page(&rows).as_bytes()))?)
    }

    /// The checkpoint of one training.
    fn train(
        &self,
        variant: Variant,
        seed: u64,
        scenes: &Path,
        devices: &[SelectedDevice],
    ) -> Result<PathBuf, Box<dyn Error>> {
        let run = self.work.join(format!("{}-{seed}", variant.name()));
        trained(&run, devices, || {
            let mut recipe = Recipe::open("tiny")?;
            (recipe.steps, recipe.seed) = (self.steps, seed);
            recipe.validation.dataset = String::new();
            recipe.trained = TrainedRecipe {
                weights: TrainedWeights::LoraAndDecoder,
                lora_rank: LORA_RANK,
                ..recipe.trained
            };
            let prior = recipe.new_model.take().and_then(|new| new.mask_prior);
            let start = Start::Init(self.start(variant, seed, prior)?);
            Ok(Training::start(&start, scenes, &run, recipe, devices)?)
        })
    }

    /// A checkpoint of the shared vision and language model with a fresh decoder.
    fn start(
        &self,
        variant: Variant,
        seed: u64,
        prior: Option<f64>,
    ) -> Result<PathBuf, Box<dyn Error>> {
        let dir = self.work.join(format!("{}-{seed}-start", variant.name()));
        let cpu = device::cpu();
        let base = Segmenter::load(&self.base, &cpu)?;
        let (mut model, mut config) = (base.model.clone(), base.config.clone());
        config.mask_decoder.variant = variant;
        cpu.device.seed(seed);
        model.mask_decoder = MaskDecoder::new(&config, &cpu.device);
        if let Some(logit) = prior {
            model = mllmseg::model::init::mask_prior(model, logit);
        }
        save_model(&model, &config, None, &dir, SaveOptions::default())?;
        base.tokenizer.save(&dir)?;
        Ok(dir)
    }

    fn page(&self, rows: &str) -> String {
        let Self { steps, seeds, .. } = self;
        format!(
            "# The mask decoder's parts

The paper's Table 4 compares four decoders at full size, on a pretrained multimodal model. Here the same
four are trained on drawn scenes: each is a new decoder on the vision encoder and the language model of the
[tiny model](tiny-model.md). These two are frozen except for adapters of rank {LORA_RANK}. All trainings have
the same budget ({steps} steps of the recipe `tiny`), with {seeds} seeds. A cell holds the mean and, in brackets, the
minimum and maximum, in percent, on {images} scenes of another seed. gIoU is on the gRefCOCO layout; cIoU and
REC (Prec@0.5 of the mask's box, as in Table 2) are on the RefCOCO layout.

The last column is the paper's own: cIoU and REC on RefCOCO val with InternVL2.5-8B.

| decoder | parameters | cIoU | gIoU | REC | paper |
| --- | --- | --- | --- | --- | --- |
{rows}
Made by `cargo xtask ablation --steps {steps} --seeds {seeds}`. The vision encoder and the language model
were trained together with a DSFF decoder, which may favour it. The model is tiny and the trainings are short:
the table shows how the parts behave here, not their value at full size.
",
            images = TEST.0,
        )
    }
}

/// Mean, minimum and maximum.
fn spread(values: Vec<f64>) -> String {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{mean:.1} ({least:.1} to {greatest:.1})")
}
