//! A mask as COCO's run lengths: to the JSON that pycocotools reads, and back.
//!
//! In Python: `pycocotools.mask.decode(json.load(open("mask.json"))["segmentation"])`.
//!
//!     cargo run --release --example coco_rle > mask.json

use std::error::Error;

use mllmseg::data::mask::{Bitmap, Rle};
use serde_json::{Value, json};

const ROWS: [&str; 5] = [
    "......", //
    ".####.", //
    ".#..#.", //
    ".####.", //
    "......", //
];

fn main() -> Result<(), Box<dyn Error>> {
    let pixels = ROWS.concat().chars().map(|character| character == '#').collect();
    let mask = Bitmap::from_pixels(ROWS.len(), ROWS[0].len(), pixels)?;

    // Column by column, background first. A prediction has it as `MaskPrediction::rle`.
    let rle = Rle::from_bitmap(&mask);
    eprintln!("runs: {:?}", rle.counts());

    // As JSON the runs are COCO's compressed string.
    let annotation = json!({
        "image_id": 1,
        "category_id": 1,
        "segmentation": rle,
        "area": rle.area(),
        "bbox": rle.coco_box(),
    });
    println!("{annotation}");

    // Compressed strings and lists of runs can both be read.
    let read: Value = serde_json::from_str(&annotation.to_string())?;
    let back: Rle = serde_json::from_value(read["segmentation"].clone())?;
    let plain: Rle = serde_json::from_value(json!({"size": [5, 6], "counts": rle.counts()}))?;
    eprintln!("the same mask: {} and {}", back.to_bitmap() == mask, plain == rle);
    Ok(())
}
