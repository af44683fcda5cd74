//! Masks in the formats that other programs read, for the command and the server alike.

mod coco;
mod polygon;
mod svg;
mod yolo;

pub use coco::CocoFile;
pub use polygon::{flat_points, polygons_json};
pub use svg::{SvgLayer, svg_document};
pub use yolo::YoloFile;
