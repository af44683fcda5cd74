//! PyTorch beside us: `xtask/peers/bench.py` as a child process.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mllmseg_model::lora::LoraConfig;
use serde::{Deserialize, Serialize};

use super::ceiling::{COPIED, product_size};
use super::clock::{Clock, Parts};
use super::generate::TOKENS;
use super::setting::Setting;
use super::work::Work;
use crate::drawn::{TOKENS_AFTER_IMAGE, TOKENS_BEFORE_IMAGE};
use crate::memory::{SEG, TRUTH};

/// The script, which needs PyTorch, and safetensors for a load.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/bench.py");

/// What the script needs to know.
#[derive(Serialize)]
struct Sizes {
    device: &'static str,
    dtype: &'static str,
    threads: usize,
    image_size: usize,
    patch: usize,
    vision_width: usize,
    vision_mlp: usize,
    vision_heads: usize,
    vision_layers: usize,
    width: usize,
    mlp: usize,
    heads: usize,
    kv_heads: usize,
    layers: usize,
    vocabulary: usize,
    decoder_heads: usize,
    tokens: usize,
    image_start: usize,
    generated: usize,
    product: usize,
    copied: usize,
    train: Training,
}

/// The batch of a training step, and what its adapters are.
#[derive(Serialize)]
struct Training {
    images: usize,
    expressions: usize,
    tokens: usize,
    answer_start: usize,
    seg: u32,
    truth: [usize; 2],
    lora_rank: usize,
    lora_scale: f64,
    lora_dropout: f64,
}

impl Sizes {
    fn of(setting: &Setting) -> Self {
        let Setting { config, device, dtype, .. } = setting;
        let (vision, language) = (&config.vision, &config.language);
        let workload = setting.workload();
        let lora = LoraConfig::published(workload.rank);
        Self {
            device: if device.id == "cpu" { "cpu" } else { "gpu" },
            dtype: dtype.name(),
            threads: rayon::current_num_threads(),
            image_size: config.image_size,
            patch: vision.patch_size,
            vision_width: vision.hidden_size,
            vision_mlp: vision.intermediate_size,
            vision_heads: vision.num_attention_heads,
            vision_layers: vision.num_hidden_layers,
            width: language.hidden_size,
            mlp: language.intermediate_size,
            heads: language.num_attention_heads,
            kv_heads: language.num_key_value_heads,
            layers: language.num_hidden_layers,
            vocabulary: language.vocab_size,
            decoder_heads: config.mask_decoder.num_attention_heads,
            tokens: TOKENS_BEFORE_IMAGE + config.num_image_tokens() + 1 + TOKENS_AFTER_IMAGE,
            image_start: TOKENS_BEFORE_IMAGE,
            generated: TOKENS,
            product: product_size(setting),
            copied: COPIED,
            train: Training {
                images: workload.images,
                expressions: workload.expressions,
                tokens: workload.length(config),
                answer_start: workload.answer_start(config),
                seg: SEG,
                truth: TRUTH,
                lora_rank: lora.rank,
                lora_scale: lora.scale(),
                lora_dropout: lora.dropout,
            },
        }
    }
}

/// A work done once by the script.
#[derive(Deserialize)]
pub struct PeerRound {
    /// Seconds of its parts.
    pub parts: Parts,
    /// Peak memory of the process after its first round, or that of the GPU, in bytes.
    pub peak: Option<u64>,
    /// PyTorch's.
    pub version: String,
}

/// The script with one work, waiting for a line.
pub struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    clock: Clock,
}

impl Peer {
    pub fn start(python: &str, work: Work, setting: &Setting) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(python);
        let sizes = serde_json::to_string(&Sizes::of(setting))?;
        command.args([SCRIPT, &work.name(), &sizes]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut child =
            started.map_err(|error| format!("{python}: {error}; name a Python with PyTorch"))?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let (ask, answers) = ask.zip(answers).ok_or("no pipes to the peer")?;
        Ok(Self { child, ask, answers: BufReader::new(answers), clock: setting.clock })
    }

    /// Has the script do its work once, timed as ours.
    pub fn round(&mut self) -> Result<PeerRound, Box<dyn Error>> {
        let mut line = String::new();
        let ask: &[u8] = match self.clock {
            Clock::Processor => b"processor\n",
            Clock::Wall(_) => b"wall\n",
        };
        // A broken pipe is the script's end, which it has explained on standard error.
        let asked = self.ask.write_all(ask).and_then(|()| self.ask.flush());
        asked
            .and_then(|()| self.answers.read_line(&mut line))
            .map_err(|error| format!("{SCRIPT}: {error}"))?;
        if line.is_empty() {
            return Err(format!("{SCRIPT} ended: its last words are above").into());
        }
        Ok(serde_json::from_str(&line)
            .map_err(|error| format!("{SCRIPT} answered {line:?}: {error}"))?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
