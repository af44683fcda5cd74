//! The kinds of work that are measured, and the rows that each has in the report.

use std::error::Error;

use clap::ValueEnum;

use super::ceiling::CeilingWork;
use super::cost::{Cost, Costs};
use super::generate::{GenerateWork, TOKENS};
use super::load::LoadWork;
use super::rounds::Rounds;
use super::session::Session;
use super::setting::Setting;
use super::train::TrainWork;

/// What is measured. `xtask/peers/bench.py` does each by the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// A large product and a large copy: what the machine can do
    Ceiling,
    /// Encode an image, one expression, and sixteen at once
    Segment,
    /// A training step of the published recipe: adapters and mask decoder, one batch
    Train,
    /// Load a checkpoint in bf16 and compute the first mask
    Load,
    /// Generate an answer, token by token
    Generate,
}

/// A row of the report.
pub struct RowOf {
    pub name: String,
    /// Names of our parts.
    pub ours: &'static [&'static str],
    /// Names of PyTorch's parts of the same work, if it does it.
    pub theirs: &'static [&'static str],
    /// How often PyTorch must do its parts for the same result.
    pub times: f64,
    /// How many things are made, if their rate is shown instead of the seconds.
    pub made: Option<usize>,
    pub cost: Option<Cost>,
}

/// The parts of PyTorch's full pass.
const PASS: &[&str] = &["vision", "language model", "mask decoder"];
const ENCODE: &[&str] = &["vision", "prefix"];
const EXPRESSION: &[&str] = &["continuation", "mask decoder", "vocabulary"];
const FIRST: &[&str] = &["vision", "prefix", "continuation", "mask decoder", "vocabulary"];

impl Work {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }

    /// Prepares it.
    pub fn start(self, setting: &Setting) -> Result<Box<dyn Rounds>, Box<dyn Error>> {
        Ok(match self {
            Self::Ceiling => Box::new(CeilingWork::new(setting)),
            Self::Segment => Box::new(Session::new(setting.model()?, setting)),
            Self::Train => Box::new(TrainWork::new(setting)?),
            Self::Load => Box::new(LoadWork::new(setting)?),
            Self::Generate => Box::new(GenerateWork::new(setting)?),
        })
    }

    /// Its rows; those of a part are indented.
    pub fn rows(self, setting: &Setting) -> Vec<RowOf> {
        let costs = Costs::of(setting);
        match self {
            Self::Ceiling => Vec::new(),
            Self::Segment => vec![
                row("encode an image", ENCODE, &[]).costs(costs.encode()),
                row("  vision encoder", &["vision"], &["vision"]).costs(costs.vision()),
                row("encode + first expression", FIRST, PASS)
                    .costs(costs.encode() + costs.expressions(1)),
                row("one more expression", EXPRESSION, PASS).costs(costs.expressions(1)),
                row("  language model", &["continuation"], &[]),
                row("  mask decoder", &["mask decoder"], &[]),
                row("  vocabulary", &["vocabulary"], &[]),
                RowOf { times: 16.0, ..row("16 expressions in one call", &["sixteen"], PASS) }
                    .costs(costs.expressions(16)),
            ],
            Self::Train => {
                let name = format!("training step, batch {}", setting.images);
                const STEP: &[&str] = &["gradients", "update"];
                vec![
                    row(&name, STEP, STEP).costs(costs.train_step()),
                    row("  losses and gradients", &STEP[..1], &STEP[..1]),
                    row("  update", &STEP[1..], &STEP[1..]),
                ]
            }
            Self::Load => {
                const LOAD: &[&str] = &["load", "first mask"];
                vec![
                    row("load to the first mask", LOAD, LOAD),
                    row("  load", &LOAD[..1], &LOAD[..1]).costs(costs.load()),
                    row("  first mask", &LOAD[1..], &LOAD[1..]),
                ]
            }
            Self::Generate => {
                let row = row("generate", &["tokens"], &["tokens"]);
                vec![RowOf { made: Some(TOKENS), ..row }.costs(costs.tokens(TOKENS))]
            }
        }
    }
}

fn row(name: &str, ours: &'static [&'static str], theirs: &'static [&'static str]) -> RowOf {
    RowOf { name: name.into(), ours, theirs, times: 1.0, made: None, cost: None }
}

impl RowOf {
    fn costs(self, cost: Cost) -> Self {
        Self { cost: Some(cost), ..self }
    }
}
