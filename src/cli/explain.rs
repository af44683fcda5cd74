//! `mllmseg explain`: the activations inside the model, as the paper's Figure 4 shows them.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::overlay::{HeatMap, draw_figure, mask_image, write_png};
use mllmseg::{ActivationMap, tiny};
use serde_json::json;

use super::answers::{caution_line, json_of, line_of, overlay_item};
use super::model::ModelArgs;
use super::picture::{read_picture, stem};
use super::terminal::print_result;
use super::{CliError, make_output_folder};

/// Show the activations inside the model: the paper's Figure 4 for your picture
///
/// Writes one figure: the picture, the mean absolute activation per token of T_img1 (vision encoder),
/// T_img2 (language model) and T_vl (cross-attention of the two) as heat over it, dark violet for a
/// map's least and yellow for its most, and the mask. Each map is written as a small grey PNG too.
///
/// The three maps are the same for every expression: the picture comes before the words, and the
/// language model attends to earlier tokens only.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mllmseg explain --checkpoint DIR photo.jpg \"the man in the red shirt\""
)]
pub struct ExplainArgs {
    /// A picture (JPEG, PNG, WebP, BMP, GIF, TIFF); - reads it from standard input
    #[arg(value_hint = ValueHint::FilePath)]
    image: PathBuf,
    /// The expression, a few words in quotes
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

/// Asks the model, writes the images, and says where they are.
pub fn run(arguments: ExplainArgs) -> Result<(), CliError> {
    let image = read_picture(&arguments.image)?;
    make_output_folder(&arguments.out)?;
    let segmenter = arguments.model.load()?;
    let session = segmenter.encode(&image)?;
    let prediction = session.segment(&arguments.expression)?;
    let maps = session.activation_maps()?;

    let stem = stem(&arguments.image);
    let path = |what: &str| arguments.out.join(format!("{stem}_explain{what}.png"));
    let (mask_file, figure_file) = (path("_mask"), path(""));
    let mut lines = vec![arguments.image.display().to_string()];
    lines.push(line_of(&prediction, Some(&mask_file)));
    let cautions = match tiny::is_in(&segmenter.dir) {
        true => tiny::cautions(&image, &[&arguments.expression]),
        false => Vec::new(),
    };
    lines.extend(cautions.iter().map(|caution| caution_line(caution)));
    let (mut maps_json, mut heat) = (Vec::new(), Vec::new());
    for map in &maps {
        let file = path(&format!("_{}", map.name));
        write_png(&file, map.to_grey())?;
        let (title, note) = title(map);
        lines.push(format!("  {title}: {note}, {}", file.display()));
        heat.push(HeatMap { title, note, values: map.normalised() });
        maps_json.push(json!({
            "name": map.name,
            "origin": map.origin,
            "side": map.side,
            "values": map.values.chunks(map.side.max(1)).collect::<Vec<_>>(),
            "file": file.display().to_string(),
        }));
    }
    write_png(&mask_file, mask_image(&prediction.mask))?;
    write_png(&figure_file, draw_figure(&image, &heat, overlay_item(&prediction))?)?;
    lines.push(format!("  figure: {}", figure_file.display()));
    let json = json!({
        "image": arguments.image.display().to_string(),
        "width": image.width(),
        "height": image.height(),
        "checkpoint": segmenter.dir.display().to_string(),
        "result": json_of(&prediction, Some(&mask_file)),
        "cautions": cautions,
        "maps": maps_json,
        "figure": figure_file.display().to_string(),
    });
    print_result(match arguments.json {
        true => format!("{json:#}"),
        false => lines.join("\n"),
    })
}

/// What a map is, and its size and range.
fn title(map: &ActivationMap) -> (String, String) {
    let ActivationMap { name, origin, side, .. } = map;
    let [least, most] = map.range();
    (format!("{name}, {origin}"), format!("{side} x {side} tokens, {least:.3} to {most:.3}"))
}
