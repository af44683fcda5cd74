//! The galleries: best, median, worst, wrongly rejected, wrongly accepted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use mllmseg_data::mask::{Bitmap, EncodedRle};

use super::escape::escape;
use crate::evaluate::run::read_image;
use crate::evaluate::{EvalError, Evaluation, Outcome, Place, Selection, read_predictions};
use crate::overlay::{paint, shrink};

/// Examples in each gallery.
const EXAMPLES: usize = 8;
/// The longest side of a thumbnail, in pixels.
pub(in crate::evaluate) const SIDE: u32 = 280;
/// Of a thumbnail's JPEG.
const QUALITY: u8 = 80;
/// The colour of the annotated mask.
pub(in crate::evaluate) const TRUTH: Rgb<u8> = Rgb([34, 197, 94]);
/// The colour of the predicted mask.
pub(in crate::evaluate) const PREDICTION: Rgb<u8> = Rgb([249, 115, 22]);

/// One gallery's outcomes.
struct Gallery {
    title: &'static str,
    note: &'static str,
    /// Instead of the note, when there are no examples.
    none: &'static str,
    picks: Vec<Outcome>,
}

/// All galleries as HTML.
pub(super) fn build(
    selection: &Selection,
    evaluation: &Evaluation,
    predictions: &[impl AsRef<Path>],
) -> Result<String, EvalError> {
    let mut galleries = pick(&evaluation.outcomes);
    if !selection.benchmark.generalized {
        galleries.retain(|gallery| gallery.title != "Wrongly accepted"); // all have a target
    }
    let picks = galleries.iter().flat_map(|gallery| &gallery.picks);
    let wanted: Vec<Place> = picks.map(|outcome| outcome.place).collect();
    if !wanted.is_empty() && !wanted.iter().any(|&place| has_image(selection, place)) {
        return Ok(
            "<section><h2>Images</h2><p class=\"remark\">None: the images of the data set are not \
             in their folder.</p></section>"
                .into(),
        );
    }
    let mut masks: HashMap<Place, Option<EncodedRle>> =
        wanted.into_iter().map(|place| (place, None)).collect();
    for file in predictions {
        read_predictions(file.as_ref(), |entry| {
            let place = selection.find(entry.ref_id, entry.sent_id).flatten();
            if let Some(mask) = place.and_then(|place| masks.get_mut(&place)) {
                *mask = Some(entry.segmentation);
            }
            Ok(())
        })?;
    }
    let mut html = String::new();
    for gallery in &galleries {
        let _ = writeln!(
            html,
            "<section><h2>{}</h2><p class=\"remark\">{}</p>",
            gallery.title,
            if gallery.picks.is_empty() { gallery.none } else { gallery.note }
        );
        html.push_str("<div class=\"gallery\">\n");
        for outcome in &gallery.picks {
            let mask = masks.get(&outcome.place).and_then(Option::as_ref);
            html.push_str(&card(selection, outcome, mask)?);
        }
        html.push_str("</div></section>\n");
    }
    Ok(html)
}

/// Chooses the examples. Where IoUs are equal, the order of the data set decides.
fn pick(outcomes: &[Outcome]) -> Vec<Gallery> {
    let of = |keep: fn(&Outcome) -> bool| -> Vec<Outcome> {
        outcomes.iter().copied().filter(keep).collect()
    };
    let mut answered = of(|outcome| !outcome.no_target && !outcome.rejected);
    answered.sort_by(|a, b| b.iou.total_cmp(&a.iou));
    let first_median = (answered.len() / 2).saturating_sub(EXAMPLES / 2);
    let median = answered.iter().skip(first_median).take(EXAMPLES).copied();
    let spread = |all: Vec<Outcome>| -> Vec<Outcome> {
        let step = all.len().div_ceil(EXAMPLES).max(1);
        all.into_iter().step_by(step).collect()
    };
    const NONE: &str = "None: no expression with a target was answered.";
    vec![
        Gallery {
            title: "Best",
            note: "The largest IoU, of expressions with a target that were not rejected.",
            none: NONE,
            picks: answered.iter().take(EXAMPLES).copied().collect(),
        },
        Gallery {
            title: "Median",
            note: "Around the median IoU of the same expressions.",
            none: NONE,
            picks: median.collect(),
        },
        Gallery {
            title: "Worst",
            note: "The smallest IoU of the same expressions, the worst first.",
            none: NONE,
            picks: answered.iter().rev().take(EXAMPLES).copied().collect(),
        },
        Gallery {
            title: "Wrongly rejected",
            note: "There is a target, and the model says that there is none.",
            none: "None: no expression with a target was rejected.",
            picks: spread(of(|outcome| !outcome.no_target && outcome.rejected)),
        },
        Gallery {
            title: "Wrongly accepted",
            note: "There is no target, and the model does not say so.",
            none: "None: every expression without a target was rejected.",
            picks: spread(of(|outcome| outcome.no_target && !outcome.rejected)),
        },
    ]
}

fn has_image(selection: &Selection, place: Place) -> bool {
    selection.benchmark.data.image_path(selection.expression(place).0.image).is_ok()
}

/// Image, ground truth and prediction side by side under the expression.
fn card(
    selection: &Selection,
    outcome: &Outcome,
    mask: Option<&EncodedRle>,
) -> Result<String, EvalError> {
    let (item, expression) = selection.expression(outcome.place);
    let mut html = format!(
        "<article><h3>{}</h3><p class=\"facts\">IoU {:.1} %{} · <span>ref {} · sentence {} · {}</span></p>",
        escape(expression.text),
        100.0 * outcome.iou,
        if outcome.rejected { " · rejected" } else { "" },
        expression.ref_id,
        expression.sent_id,
        escape(&item.image.file_name)
    );
    match read_image(selection, item) {
        Ok(image) => {
            let image = shrink(&image, SIDE);
            let truth = selection.ground_truth(outcome.place)?.mask;
            let predicted = mask.and_then(|mask| mask.decode().ok());
            let predicted = predicted.map(|mask| mask.to_bitmap());
            let caption = if outcome.rejected { "prediction (rejected)" } else { "prediction" };
            html.push_str("<div class=\"views\">");
            html.push_str(&view(&image, "image"));
            html.push_str(&masked(&image, truth.as_ref(), TRUTH, "truth", "no target"));
            html.push_str(&masked(&image, predicted.as_ref(), PREDICTION, caption, "empty"));
            html.push_str("</div>");
        }
        Err(error) => {
            let _ = write!(html, "<p class=\"remark\">{}</p>", escape(&error.to_string()));
        }
    }
    Ok(html + "</article>\n")
}

/// A thumbnail with a mask, or with the word for none.
fn masked(
    image: &RgbImage,
    mask: Option<&Bitmap>,
    colour: Rgb<u8>,
    caption: &str,
    nothing: &str,
) -> String {
    match mask.filter(|mask| !mask.is_empty()) {
        Some(mask) => {
            let mut image = image.clone();
            paint(&mut image, &[(mask, colour)]);
            view(&image, caption)
        }
        None => view(image, &format!("{caption}: {nothing}")),
    }
}

/// A JPEG inside the page.
pub(in crate::evaluate) fn view(image: &RgbImage, caption: &str) -> String {
    let (width, height) = image.dimensions();
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    let encoded = match image.write_with_encoder(encoder) {
        Ok(()) => BASE64_STANDARD.encode(&bytes),
        Err(_) => String::new(), // the caption remains
    };
    format!(
        "<figure><img src=\"data:image/jpeg;base64,{encoded}\" width=\"{width}\" height=\"{height}\" \
         alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_are_bounded() {
        let long = shrink(&RgbImage::new(3000, 20), SIDE);
        assert_eq!(long.dimensions(), (280, 1));
        let html = view(&long, "image");
        assert!(html.contains("data:image/jpeg;base64,/9j/") && html.len() < 4000);
    }
}
