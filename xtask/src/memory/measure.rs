//! A real training step, in a process of its own so that nothing else counts.

use std::process::Command;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::NO_LOSS;
use mllmseg_model::Mllmseg;
use mllmseg_model::lora::LoraConfig;
use mllmseg_train::{AdamW, AdamWConfig, TrainBatch, TrainExample, TrainStep};

use super::account::{TOKENS_BEFORE_IMAGE, Workload};
use super::counting::{forget_most, most_in_use};
use crate::bench::{forget_peak_memory, peak_memory};

/// Any token will do; this one asks for masks.
const SEG: u32 = 7;

/// What a step took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The most bytes in use by what was allocated.
    pub allocated: usize,
    /// The most bytes resident, where the system tells: the above, the program itself, and what the
    /// allocator keeps.
    pub resident: Option<u64>,
    /// Duration of the step.
    pub seconds: f64,
}

/// Takes two steps on the CPU in f32 with drawn weights, the first to create the optimizer's means,
/// and measures the second.
pub fn step(workload: &Workload) -> Result<Measured, Box<dyn std::error::Error>> {
    let device = Device::flex();
    let lora = Some(LoraConfig::published(workload.rank));
    let model = Mllmseg::new(&workload.config, lora, &device);
    let mut model = workload.trained.prepare(
        model,
        mllmseg_train::TrainingMode { dropout: true, ..mllmseg_train::TrainingMode::AS_EVALUATION },
    );
    let step = TrainStep { gradient_checkpointing: workload.recompute, ..TrainStep::new(SEG) };
    let batches = vec![batch(workload, &device)?; workload.batches];
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut seconds = 0.0;
    for _ in 0..2 {
        forget_most();
        forget_peak_memory();
        let start = Instant::now();
        let gradients = step.gradients(&model, &batches, 0)?;
        let factor = gradients.norms.clip_factor(1.0);
        model = optimizer.step(1e-5, model, gradients.params, factor);
        seconds = start.elapsed().as_secs_f64();
    }
    Ok(Measured { allocated: most_in_use(), resident: peak_memory(), seconds })
}

fn batch(workload: &Workload, device: &Device) -> Result<TrainBatch, Box<dyn std::error::Error>> {
    let config = &workload.config;
    let length = workload.length();
    let vocabulary = config.language.vocab_size;
    let mut input_ids: Vec<u32> = (0..length).map(|i| (8 + i % (vocabulary - 8)) as u32).collect();
    let answer = length - workload.answer_tokens();
    let asked = (0..workload.expressions).map(|i| answer + 2 * i);
    asked.for_each(|position| input_ids[position] = SEG);
    let labels = input_ids.iter().enumerate();
    let labels = labels.map(|(i, &id)| if i < answer { NO_LOSS } else { i64::from(id) });
    let [height, width] = workload.truth;
    let pixels: Vec<u8> = (0..height * width).map(|i| u8::from(i % width < width / 3)).collect();
    let mask = Bitmap::from_bytes(height, width, &pixels)?;
    let example = TrainExample {
        labels: labels.collect(),
        input_ids,
        image_start: TOKENS_BEFORE_IMAGE,
        masks: vec![Some(mask); workload.expressions],
    };
    let size = config.image_size;
    let shape = [workload.images, 3, size, size];
    let pixels = Tensor::random(shape, Distribution::Normal(0.0, 1.0), device);
    Ok(TrainBatch::new(pixels, vec![example; workload.images]))
}

/// Runs this program once more with the same arguments and `--in-this-process`, and reads what
/// [`Measured::line`] printed.
pub fn in_a_child(recompute: bool) -> Result<Measured, Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1).filter(|argument| argument != "--recompute"));
    command.arg("--in-this-process");
    if recompute {
        command.arg("--recompute");
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(Measured::parse).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("the measured step ended with {} and {errors}", output.status).into()
    })
}

impl Measured {
    /// One line that [`in_a_child`] understands.
    pub fn line(&self) -> String {
        let resident = self.resident.unwrap_or(0);
        format!("measured {} {resident} {}", self.allocated, self.seconds)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("measured ")?.split(' ');
        let allocated = words.next()?.parse().ok()?;
        let resident = words.next()?.parse().ok().filter(|&bytes| bytes > 0);
        Some(Self { allocated, resident, seconds: words.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back() {
        for resident in [None, Some(5)] {
            let measured = Measured { allocated: 7, resident, seconds: 1.5 };
            assert_eq!(Measured::parse(&measured.line()), Some(measured));
        }
        assert_eq!(Measured::parse("measured 1 2"), None);
    }
}
