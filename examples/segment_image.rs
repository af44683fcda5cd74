//! One image, one expression, one mask.
//!
//!     cargo run --release --example segment_image -- [CHECKPOINT [IMAGE EXPRESSION]]

mod common;

use std::error::Error;

use mllmseg::overlay::{OverlayItem, draw_overlay, write_png};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let segmenter = common::load(arguments.next())?;
    let (image, expressions) = common::input(arguments)?;
    let expression = expressions.first().ok_or("name an expression after the image")?;

    let session = segmenter.encode(&image)?;
    let found = session.segment(expression)?;

    println!("{} on {}", found.expression, segmenter.device.name);
    println!("  in the picture: {}", !found.rejected);
    println!("  score {:.3}, box {:?}", found.score, found.bounding_box);
    println!("  {} of {} pixels", found.mask.area(), image.width() * image.height());

    let item =
        OverlayItem { caption: expression, mask: Some(&found.mask), rejected: found.rejected };
    write_png("overlay.png", draw_overlay(&image, &[item])?)?;
    println!("overlay.png written");
    Ok(())
}
