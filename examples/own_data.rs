//! Data of your own: a folder of images with a JSON-lines file, opened as a data set. No model.
//!
//!     cargo run --release --example own_data

use std::error::Error;
use std::fs;

use image::{GrayImage, Luma, Rgb, RgbImage};
use mllmseg::data::refer::{Dataset, ReferDataset, Split};
use serde_json::json;

const SIDE: u32 = 64;

/// Whether a pixel lies in the disc around `x`.
fn in_disc(x: u32) -> impl Fn(u32, u32) -> bool {
    move |column, row| (column.abs_diff(x)).pow(2) + row.abs_diff(32).pow(2) < 15 * 15
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    for name in ["pictures", "masks"] {
        fs::create_dir(folder.path().join(name))?;
    }
    // Each image has a red disc on the left and a blue one on the right, a little apart.
    let mut lines = Vec::new();
    for (number, gap) in [15, 16, 17].into_iter().enumerate() {
        let (red, blue) = (in_disc(32 - gap), in_disc(32 + gap));
        let image = RgbImage::from_fn(SIDE, SIDE, |x, y| match (red(x, y), blue(x, y)) {
            (true, _) => Rgb([220, 40, 40]),
            (_, true) => Rgb([40, 80, 220]),
            _ => Rgb([240, 240, 230]),
        });
        let name = format!("pictures/{number}.png");
        image.save(folder.path().join(&name))?;

        // A mask may be a PNG, a polygon, run lengths, or null where there is no such thing.
        let mask = format!("masks/{number}.png");
        GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if red(x, y) { 255 } else { 0 }]))
            .save(folder.path().join(&mask))?;
        let left = f64::from(32 + gap - 15);
        let square = [left, 17.0, left + 30.0, 17.0, left + 30.0, 47.0, left, 47.0];
        lines.push(json!({"image": name, "expression": "The red disc.", "mask": mask}));
        lines.push(json!({"image": name, "expression": "a box around the blue", "mask": square}));
        lines.push(json!({"image": name, "expression": "the green disc", "mask": null}));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.path().join("train.jsonl"), &text)?;
    print!("train.jsonl:\n{text}\n");

    let data = ReferDataset::open(folder.path(), Dataset::Own, None)?;
    for item in data.items(Split::Train)? {
        println!("{} ({} x {})", item.image.file_name, item.image.width, item.image.height);
        for expression in &item.expressions {
            match data.mask(item.image, expression.targets)? {
                Some(mask) => println!("  {}: {} pixels", expression.text, mask.area()),
                None => println!("  {}: no target", expression.text),
            }
        }
    }
    Ok(())
}
