//! Draws a sheet of scenes as a PNG, and prints their expressions.
//!
//! `cargo run --release -p mllmseg-scenes --example draw_scenes -- small 7 sheet.png`

use image::{RgbImage, imageops};
use mllmseg_scenes::{Part, World, expressions, generate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [world, seed, path] = arguments.as_slice() else {
        let names = World::all().map(|world| world.name).join("|");
        return Err(format!("expected: {names} SEED SHEET.png").into());
    };
    let (world, seed): (World, u64) = (world.parse()?, seed.parse()?);
    let (columns, rows, side) = (4, 3, 232);
    let mut sheet = RgbImage::new(columns * side, rows * side);
    for number in 0..columns * rows {
        let scene = generate(&world, seed, Part::Train.index(number.into()));
        let (x, y) = (number % columns * side, number / columns * side);
        imageops::replace(&mut sheet, &scene.draw(), x.into(), y.into());
        println!("row {}, column {}", number / columns + 1, number % columns + 1);
        for said in expressions(&world, &scene) {
            println!("  {} {:?}", said.text, said.targets);
        }
    }
    sheet.save(path)?;
    Ok(())
}
