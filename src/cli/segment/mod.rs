//! `mllmseg segment`: masks for expressions, in one image or many.

mod inputs;
mod masks;
mod output;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use image::RgbImage;
use indicatif::ProgressBar;
use mllmseg::ahead::answer_all;
use mllmseg::{ImageSession, MaskPrediction, Segmenter, tiny};

use super::model::ModelArgs;
use super::picture::read_picture;
use super::terminal::{print_result, progress_bar, warn};
use super::{CliError, make_output_folder};
use inputs::{Input, collect_inputs};
use masks::{MaskFormat, MaskWriter};
use output::{Answered, Report, Scores};

/// Segment what each expression names
///
/// Writes a mask for each expression and one overlay picture, and prints boxes and scores.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mllmseg segment --checkpoint DIR photo.jpg \"the man in the red shirt\" \"the dog\""
)]
pub struct SegmentArgs {
    /// A picture (JPEG, PNG, WebP, BMP, GIF, TIFF), a folder of pictures, or - for standard input
    image: PathBuf,
    /// The expressions, each a few words in quotes
    #[arg(required = true)]
    expression: Vec<String>,
    /// A further picture or folder; may be given several times
    #[arg(long = "image", short = 'i', value_name = "IMAGE")]
    more_images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Folder for masks and overlays [default: mllmseg-out, unless --json or --scores is given]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How the masks are written [default: png]
    #[arg(long, value_enum)]
    format: Option<MaskFormat>,
    /// Leave out corners of polygons (polygon, svg, coco, yolo) within so many pixels of the rest
    #[arg(long, value_name = "PIXELS", default_value_t = 0.0)]
    tolerance: f64,
    /// Write the probabilities at the model's resolution: tensors `scores` f32 [N, size, size] and
    /// `rejected` u8 [N]
    #[arg(long, value_name = "FILE.safetensors")]
    scores: Option<PathBuf>,
    /// Print boxes, scores, run-length encoded masks and timings as JSON
    #[arg(long)]
    json: bool,
    /// Let the model answer in its own words; every [SEG] it says becomes a mask
    #[arg(long, conflicts_with = "together")]
    generate: bool,
    /// Ask for all expressions in one question, as the published evaluation does, instead of one
    /// question each
    #[arg(long)]
    together: bool,
}

impl SegmentArgs {
    fn expressions(&self) -> Vec<&str> {
        self.expression.iter().map(String::as_str).collect()
    }
}

/// Loads the model once and answers for every image.
pub fn run(arguments: SegmentArgs) -> Result<(), CliError> {
    let roots: Vec<&Path> = std::iter::once(&arguments.image)
        .chain(&arguments.more_images)
        .map(PathBuf::as_path)
        .collect();
    let inputs = collect_inputs(&roots)?;
    let out = output_folder(&arguments)?;

    let start = Instant::now();
    let segmenter = arguments.model.load()?;
    let mut report = Report::new(&segmenter, start.elapsed());

    let bar = match inputs.len() {
        0 | 1 => ProgressBar::hidden(),
        images => progress_bar("{bar:30} {pos}/{len} pictures, {eta} left", images as u64),
    };
    let mut scores = Scores::default();
    let format = arguments.format.unwrap_or(MaskFormat::Png);
    let mut masks = MaskWriter::new(format, arguments.tolerance);
    let is_tiny = tiny::is_in(&segmenter.dir);
    let failures = thread::scope(|scope| {
        let mut failures = 0;
        let answer = |_: &Input, image: Result<Decoded, String>| {
            answer(&segmenter, is_tiny, image?, &arguments).map_err(|error| error.to_string())
        };
        let answers = answer_all(scope, &segmenter, &inputs, decode, answer);
        for (input, answered) in inputs.iter().zip(answers) {
            match answered {
                Ok(answered) => {
                    if arguments.scores.is_some() {
                        scores.extend(&answered.predictions)?;
                    }
                    let files = match &out {
                        Some(folder) => output::write_images(&answered, input, folder, &mut masks)?,
                        None => Default::default(),
                    };
                    let lines = report.add(&input.path, &answered, files);
                    if !arguments.json {
                        bar.suspend(|| print_result(lines))?;
                    }
                }
                // One bad image among many is named, and the others are still answered.
                Err(error) if inputs.len() > 1 => {
                    failures += 1;
                    bar.suspend(|| warn(format!("error: {}: {error}", input.path.display())));
                }
                Err(error) => return Err(error.into()),
            }
            bar.inc(1);
        }
        Ok::<_, CliError>(failures)
    })?;
    bar.finish_and_clear();
    if let Some(folder) = &out {
        masks.finish(folder)?;
    }
    if let Some(path) = &arguments.scores {
        scores.write(path)?;
    }
    if arguments.json {
        print_result(format!("{:#}", report.json()))?;
    }
    match failures {
        0 => Ok(()),
        _ => {
            Err(format!("{failures} of {} pictures failed; they are named above", inputs.len())
                .into())
        }
    }
}

/// The folder for images, made and tried before the model is loaded.
fn output_folder(arguments: &SegmentArgs) -> Result<Option<PathBuf>, CliError> {
    let folder = match &arguments.out {
        Some(folder) => folder.clone(),
        None if (arguments.json || arguments.scores.is_some()) && arguments.format.is_none() => {
            return Ok(None);
        }
        None => PathBuf::from("mllmseg-out"),
    };
    make_output_folder(&folder)?;
    Ok(Some(folder))
}

/// An image, and the time that it took.
struct Decoded {
    image: RgbImage,
    decode: Duration,
}

/// Runs beside the model; a decoder that panics spoils one image only.
fn decode(input: &Input) -> Result<Decoded, String> {
    let start = Instant::now();
    let read = || read_picture(&input.path).map_err(|error| error.to_string());
    let image =
        catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err("the decoder panicked".into()))?;
    Ok(Decoded { image, decode: start.elapsed() })
}

fn answer(
    segmenter: &Segmenter,
    is_tiny: bool,
    Decoded { image, decode }: Decoded,
    arguments: &SegmentArgs,
) -> Result<Answered, CliError> {
    let start = Instant::now();
    let session = segmenter.encode(&image)?;
    // Devices compute in the background: the first result that is read would carry this time.
    segmenter.device.device.sync().map_err(|error| format!("{error:?}"))?;
    let encode = start.elapsed();
    let start = Instant::now();
    let (predictions, generated) = ask(&session, arguments)?;
    let timings = [decode, encode, start.elapsed()];
    let cautions = match is_tiny {
        true => tiny::cautions(&image, &arguments.expressions()),
        false => Vec::new(),
    };
    Ok(Answered { image, predictions, generated, cautions, timings })
}

fn ask(
    session: &ImageSession<'_>,
    arguments: &SegmentArgs,
) -> Result<(Vec<MaskPrediction>, Option<String>), CliError> {
    let expressions = arguments.expressions();
    if arguments.generate {
        let generated = session.generate(&expressions)?;
        if generated.truncated {
            warn("warning: the answer was cut before the model ended it");
        }
        return Ok((generated.predictions, Some(generated.text)));
    }
    let predictions = match arguments.together {
        true => session.segment_together(&expressions)?,
        false => session.segment_all(&expressions)?,
    };
    Ok((predictions, None))
}
