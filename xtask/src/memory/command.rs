//! `cargo xtask memory`.

use std::process::ExitCode;

use burn::tensor::DType;
use clap::Args;
use mllmseg::model::Preset;
use mllmseg_train::TrainableSet;

use super::measure::{self, Measured};
use super::{Account, Workload};
use crate::weights::parse_dtype;

/// What the step is given.
#[derive(Args, Clone)]
pub struct Options {
    /// Sizes
    #[arg(long, default_value = "internvl2_5-8b")]
    preset: Preset,
    /// Cut the language model and the vision encoder down to so many layers
    #[arg(long)]
    layers: Option<usize>,
    /// Dtype of the frozen weights: f32, bf16 or f16
    #[arg(long, default_value = "bf16", value_parser = parse_dtype)]
    dtype: DType,
    /// Rank of the adapters
    #[arg(long, default_value_t = 64)]
    rank: usize,
    /// Also train what the published recipe trains besides: final norm, token table, output layer
    #[arg(long)]
    published: bool,
    /// Images of a batch
    #[arg(long, default_value_t = 4)]
    images: usize,
    /// Expressions asked of each image
    #[arg(long, default_value_t = 5)]
    expressions: usize,
    /// Tokens of each conversation after the image
    #[arg(long, default_value_t = 199)]
    text_tokens: usize,
    /// Batches of a step
    #[arg(long, default_value_t = 1)]
    batches: usize,
    /// Only with the layers recomputed
    #[arg(long)]
    recompute: bool,
    /// Take such a step on the CPU, in f32, and compare
    #[arg(long)]
    measure: bool,
    #[arg(long, hide = true)]
    in_this_process: bool,
}

impl Options {
    fn workload(&self, dtype: DType, recompute: bool) -> Workload {
        let mut config = self.preset.config();
        if let Some(layers) = self.layers {
            let cut = |count: &mut usize| *count = (*count).min(layers);
            cut(&mut config.language.num_hidden_layers);
            cut(&mut config.vision.num_hidden_layers);
        }
        let trained = match self.published {
            true => TrainableSet::Published(config.language.architecture),
            false => TrainableSet::LoraAndDecoder,
        };
        Workload {
            config,
            dtype,
            rank: self.rank,
            trained,
            images: self.images,
            expressions: self.expressions,
            text_tokens: self.text_tokens,
            truth: [480, 640],
            batches: self.batches,
            recompute,
        }
    }
}

/// Prints the account, and the measurement if it is asked for.
pub fn run(options: Options) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if options.in_this_process {
        let workload = options.workload(DType::F32, options.recompute);
        println!("{}", measure::step(&workload)?.line());
        return Ok(ExitCode::SUCCESS);
    }
    let ways: &[bool] = if options.recompute { &[true] } else { &[false, true] };
    for &recompute in ways {
        let workload = options.workload(options.dtype, recompute);
        let account = Account::of(&workload);
        print(&options, &workload, &account);
        if options.measure {
            let in_f32 = Account::of(&options.workload(DType::F32, recompute));
            compare(&in_f32, measure::in_a_child(recompute)?);
        }
        println!();
    }
    Ok(ExitCode::SUCCESS)
}

fn gigabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e9
}

fn print(options: &Options, workload: &Workload, account: &Account) {
    println!(
        "{} in {:?}, {} images x {} tokens, {} expressions each{}",
        options.preset.name(),
        workload.dtype,
        workload.images,
        workload.length(),
        workload.expressions,
        if workload.recompute { ", layers recomputed" } else { "" },
    );
    for (name, bytes) in &account.parts {
        println!("  {name:<38}{:>9.3} GB", gigabytes(*bytes));
    }
    println!("in use");
    for (name, bytes) in &account.moments {
        println!("  {name:<38}{:>9.3} GB", gigabytes(*bytes));
    }
    println!("  {:<38}{:>9.3} GB", "at most", gigabytes(account.peak()));
}

fn compare(computed: &Account, measured: Measured) {
    println!("a step on the CPU in f32");
    let computed = computed.peak();
    println!("  {:<38}{:>9.3} GB", "computed", gigabytes(computed));
    let line = |name: &str, bytes: usize| {
        let ratio = computed as f64 / bytes as f64;
        println!("  {name:<38}{:>9.3} GB  computed / measured {ratio:.3}", gigabytes(bytes));
    };
    line("measured, allocated", measured.allocated);
    if let Some(resident) = measured.resident {
        line("measured, resident", resident as usize);
    }
    println!("  {:<38}{:>9.3} s", "duration", measured.seconds);
}
