//! Polygons with holes as JSON.

use mllmseg_data::mask::outline::{Outline, Ring};
use serde_json::{Value, json};

/// `[{"outer": [[x, y], ...], "holes": [...]}, ...]` in pixels: a polygon for each part of the mask.
pub fn polygons_json(parts: &[Outline]) -> Value {
    parts.iter().map(|part| json!({ "outer": part.outer, "holes": part.holes })).collect()
}

/// `x0, y0, x1, y1, ...`, as COCO writes a ring.
pub fn flat_points(ring: &Ring) -> Vec<u32> {
    ring.iter().flatten().copied().collect()
}
