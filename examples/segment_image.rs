//! Many expressions on one encoded image: encode once, ask often.
//!
//!     cargo run --release --example segment_image -- CHECKPOINT IMAGE "words" "more words"

use std::error::Error;
use std::time::Instant;

use mllmseg::Segmenter;
use mllmseg::data::image::read_image;
use mllmseg::device::DeviceChoice;
use mllmseg::overlay::{OverlayItem, draw_overlay, write_png_atomic};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, path, expressions @ ..] = arguments.as_slice() else {
        return Err("usage: segment_image CHECKPOINT IMAGE EXPRESSION...".into());
    };
    let device = DeviceChoice::Auto.select()?;
    let segmenter = Segmenter::load(checkpoint, &device)?;
    let image = read_image(path)?;

    let start = Instant::now();
    let session = segmenter.encode(&image)?; // vision, prompt prefix, fusion: no words yet
    println!("encoded in {:.2?} on {}", start.elapsed(), device.name);

    let mut items = Vec::new();
    for expression in expressions {
        let start = Instant::now();
        let found = session.segment(expression)?; // a few tokens and half a decoder layer
        let place = found.bounding_box.map_or("nowhere".into(), |b| format!("{b:?}"));
        println!("{expression}: {place}, score {:.2}, in {:.2?}", found.score, start.elapsed());
        items.push((expression, found.mask.to_bytes(1), found.rejected));
    }
    let items: Vec<_> = items
        .iter()
        .map(|(caption, mask, rejected)| OverlayItem {
            caption: caption.as_str(),
            mask: Some(mask.as_slice()),
            rejected: *rejected,
        })
        .collect();
    let overlay = draw_overlay(&image, &items)?;
    write_png_atomic("overlay.png", &overlay.into())?;
    println!("overlay.png written");
    Ok(())
}
