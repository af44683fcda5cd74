//! `mllmseg explain`: what happens inside, as the paper's Figure 4 shows it.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use image::{DynamicImage, RgbImage};
use mllmseg::data::image::read_image;
use mllmseg::overlay::{HeatMap, OverlayItem, draw_figure, mask_png, write_png_atomic};
use mllmseg::{ActivationMap, MaskPrediction};
use serde_json::{Value, json};

use super::segment::{finding, json_of};
use super::{CliError, ModelArgs, make_output_folder};

/// Show what happens inside: the paper's Figure 4 for a picture of yours
///
/// Writes one figure: the picture, the mean absolute activation per token of T_img1 (vision encoder),
/// T_img2 (language model) and T_vl (cross-attention of the two) as heat over it, dark violet for a
/// map's least and yellow for its most, and the mask. Each map is written as a small grey PNG too.
///
/// The three maps are the same whatever the words are: the picture comes before them, and the
/// language model looks back only.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mllmseg explain --checkpoint DIR photo.jpg \"the man in the red shirt\""
)]
pub struct ExplainArgs {
    /// A picture (JPEG, PNG, WebP, BMP)
    #[arg(value_hint = ValueHint::FilePath)]
    image: PathBuf,
    /// What to cut out, a few words in quotes
    expression: String,
    #[command(flatten)]
    model: ModelArgs,
    /// Folder for the figure, the maps and the mask
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "mllmseg-out")]
    out: PathBuf,
    /// Print the maps' numbers, the box, the score and the run-length encoded mask as JSON
    #[arg(long)]
    json: bool,
}

/// Asks the model, writes the pictures, and says where they are.
pub fn run(arguments: ExplainArgs) -> Result<(), CliError> {
    let image = read_image(&arguments.image)?;
    make_output_folder(&arguments.out)?;
    let segmenter = arguments.model.load()?;
    let session = segmenter.encode(&image)?;
    let prediction = session.segment(&arguments.expression)?;
    let explained = Explained { image, prediction, maps: session.activation_maps()? };
    let files = explained.write(&arguments.out, &arguments.image)?;
    match arguments.json {
        true => println!("{:#}", explained.json(&arguments, segmenter.folder(), &files)),
        false => println!("{}", explained.lines(&arguments.image, &files)),
    }
    Ok(())
}

struct Explained {
    image: RgbImage,
    prediction: MaskPrediction,
    maps: Vec<ActivationMap>,
}

/// What was written.
struct Files {
    /// One for each map.
    maps: Vec<PathBuf>,
    mask: PathBuf,
    figure: PathBuf,
}

impl Explained {
    /// Writes the maps, the mask, and last the figure.
    fn write(&self, folder: &Path, picture: &Path) -> Result<Files, CliError> {
        let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
        let path = |what: &str| folder.join(format!("{stem}_explain{what}.png"));
        let (width, height) = self.image.dimensions();
        let mut maps = Vec::new();
        for map in &self.maps {
            let file = path(&format!("_{}", map.name));
            write_png_atomic(&file, &DynamicImage::ImageLuma8(map.to_grey()))?;
            maps.push(file);
        }
        let bytes = self.prediction.mask.to_bytes(255);
        let mask = path("_mask");
        let picture = DynamicImage::ImageLuma8(mask_png(&bytes, width, height)?);
        write_png_atomic(&mask, &picture)?;
        let figure = path("");
        write_png_atomic(&figure, &DynamicImage::ImageRgb8(self.figure(&bytes)?))?;
        Ok(Files { maps, mask, figure })
    }

    fn figure(&self, mask: &[u8]) -> Result<RgbImage, CliError> {
        let titles: Vec<_> = self.maps.iter().map(title).collect();
        let values: Vec<_> = self.maps.iter().map(ActivationMap::normalised).collect();
        let maps: Vec<_> = titles
            .iter()
            .zip(&values)
            .map(|((title, note), values)| HeatMap { title, note, values })
            .collect();
        let MaskPrediction { expression, rejected, .. } = &self.prediction;
        let item = OverlayItem { caption: expression, mask: Some(mask), rejected: *rejected };
        Ok(draw_figure(&self.image, &maps, item)?)
    }

    fn lines(&self, image: &Path, files: &Files) -> String {
        let mut lines = vec![image.display().to_string()];
        let MaskPrediction { expression, .. } = &self.prediction;
        let mask = files.mask.display();
        lines.push(format!("  {expression}: {}, {mask}", finding(&self.prediction)));
        for (map, file) in self.maps.iter().zip(&files.maps) {
            let (title, note) = title(map);
            lines.push(format!("  {title}: {note}, {}", file.display()));
        }
        lines.push(format!("  figure: {}", files.figure.display()));
        lines.join("\n")
    }

    fn json(&self, arguments: &ExplainArgs, checkpoint: &Path, files: &Files) -> Value {
        let maps = self.maps.iter().zip(&files.maps).map(|(map, file)| {
            let rows: Vec<_> = map.values.chunks(map.side.max(1)).collect();
            json!({
                "name": map.name,
                "origin": map.origin,
                "side": map.side,
                "values": rows,
                "file": file.display().to_string(),
            })
        });
        json!({
            "image": arguments.image.display().to_string(),
            "width": self.image.width(),
            "height": self.image.height(),
            "checkpoint": checkpoint.display().to_string(),
            "result": json_of(&self.prediction, Some(&files.mask)),
            "maps": maps.collect::<Vec<_>>(),
            "figure": files.figure.display().to_string(),
        })
    }
}

/// What a map is, and its size and range.
fn title(map: &ActivationMap) -> (String, String) {
    let ActivationMap { name, origin, side, .. } = map;
    let [least, most] = map.range();
    (format!("{name}, {origin}"), format!("{side} x {side} tokens, {least:.3} to {most:.3}"))
}
