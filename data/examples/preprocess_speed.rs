//! How long one core takes from a picture file to the vision encoder's input.
//!
//! `cargo run --release -p mllmseg-data --example preprocess_speed -- picture.jpg [rounds] [input.f32]`
//!
//! `tests/oracle/image_speed.py` runs this beside Pillow and compares.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use mllmseg_data::image::{decode_image, preprocess, resize_rgb};

const SIZE: u32 = 448;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("give the path of a picture")?;
    let rounds: u32 = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let bytes = std::fs::read(&path)?;
    let picture = decode_image(&bytes, &path)?;
    if let Some(output) = arguments.next() {
        let input = preprocess(&picture, SIZE as usize);
        let raw: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(output, raw)?;
    }
    let milliseconds = |step: &dyn Fn()| {
        let start = Instant::now();
        (0..rounds).for_each(|_| step());
        start.elapsed().as_secs_f64() * 1e3 / f64::from(rounds)
    };
    let decode = milliseconds(&|| drop(black_box(decode_image(&bytes, &path))));
    let resize = milliseconds(&|| drop(black_box(resize_rgb(&picture, SIZE, SIZE))));
    let resize_and_normalise =
        milliseconds(&|| drop(black_box(preprocess(&picture, SIZE as usize))));
    println!(
        "decode {decode:.3} resize {resize:.3} normalise {:.3}",
        resize_and_normalise - resize
    );
    Ok(())
}
