//! One answer, as text, as JSON and in an overlay.

use std::path::Path;

use mllmseg::MaskPrediction;
use mllmseg::overlay::OverlayItem;
use serde_json::{Value, json};

/// The answer on one line, with the file of its mask.
pub fn line_of(prediction: &MaskPrediction, mask: Option<&Path>) -> String {
    let found = match prediction.bounding_box {
        _ if prediction.rejected => "not in the picture".to_string(),
        None => "empty mask".to_string(),
        Some([x0, y0, x1, y1]) => {
            format!("box {x0},{y0} to {x1},{y1}, score {:.3}", prediction.score)
        }
    };
    let mask = mask.map_or(String::new(), |mask| format!(", {}", mask.display()));
    format!("  {}: {found}{mask}", prediction.expression)
}

/// Why the answers may mean nothing, on one line.
pub fn caution_line(caution: &str) -> String {
    format!("  caution: {caution}")
}

/// The answer for programs, with the file of its mask.
pub fn json_of(prediction: &MaskPrediction, mask: Option<&Path>) -> Value {
    json!({
        "expression": prediction.expression,
        "rejected": prediction.rejected,
        "score": prediction.score,
        "box": prediction.bounding_box,
        "area": prediction.mask.area(),
        "segmentation": prediction.rle(),
        "mask": mask.map(|path| path.display().to_string()),
    })
}

/// The answer in a drawing.
pub fn overlay_item(prediction: &MaskPrediction) -> OverlayItem<'_> {
    let MaskPrediction { expression, mask, rejected, .. } = prediction;
    OverlayItem { caption: expression, mask: Some(mask), rejected: *rejected }
}
