//! Masks in the formats that other programs read, for the command, the server and the page alike.

mod answer;
mod coco;
mod polygon;
mod svg;
mod yolo;

pub use answer::{AnswerFormat, Found, maps_json, results_json};
pub use coco::CocoFile;
pub use polygon::{flat_points, polygons_json};
pub use svg::{SvgLayer, svg_document};
pub use yolo::YoloFile;
