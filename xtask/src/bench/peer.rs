//! PyTorch beside us: `xtask/peers/bench.py` as a child process.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mllmseg::model::MllmsegConfig;
use serde::{Deserialize, Serialize};

use super::session::{TOKENS_AFTER_IMAGE, TOKENS_BEFORE_IMAGE};

/// The script, which needs PyTorch only.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/bench.py");

/// The sizes that the script needs.
#[derive(Serialize)]
struct Sizes {
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
    threads: usize,
}

/// One full pass of the script: image and one expression to one mask.
#[derive(Clone, Serialize, Deserialize)]
pub struct PeerPass {
    /// Seconds of vision encoder, language model and mask decoder.
    pub parts: [f64; 3],
    /// Peak memory of the process in bytes.
    pub peak: u64,
    /// PyTorch's.
    pub version: String,
}

impl PeerPass {
    pub fn seconds(&self) -> f64 {
        self.parts.iter().sum()
    }
}

/// The script, waiting for a line.
pub struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(python: &str, config: &MllmsegConfig) -> Result<Self, Box<dyn Error>> {
        let (vision, language) = (&config.vision, &config.language);
        let sizes = Sizes {
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
            threads: rayon::current_num_threads(),
        };
        let mut command = Command::new(python);
        command.arg(SCRIPT).arg(serde_json::to_string(&sizes)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut child =
            started.map_err(|error| format!("{python}: {error}; name a Python with PyTorch"))?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let (ask, answers) = ask.zip(answers).ok_or("no pipes to the peer")?;
        Ok(Self { child, ask, answers: BufReader::new(answers) })
    }

    /// Has the script take one pass, timed by the wall or by the processor.
    pub fn pass(&mut self, processor_time: bool) -> Result<PeerPass, Box<dyn Error>> {
        let mut line = String::new();
        let ask: &[u8] = if processor_time { b"processor\n" } else { b"wall\n" };
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
