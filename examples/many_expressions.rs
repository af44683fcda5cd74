//! Many expressions on one encoded image: encode once, segment often.
//!
//! Everything before the expression (vision, the prompt up to the image's end, the fusion of details
//! and semantics) is computed once; each expression then costs only its own few tokens.
//!
//!     cargo run --release --example many_expressions -- [CHECKPOINT [IMAGE EXPRESSION...]]

mod common;

use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let segmenter = common::load(arguments.next())?;
    let (image, expressions) = common::input(arguments)?;

    let start = Instant::now();
    let session = segmenter.encode(&image)?;
    // Devices compute in the background; without this, the first expression would carry the time.
    segmenter.device.device.sync()?;
    println!("the image, once: {:.1?}", start.elapsed());

    // The first expression includes what a device prepares at its first use.
    for expression in &expressions {
        let start = Instant::now();
        let found = session.segment(expression)?;
        let time = start.elapsed();
        match found.rejected {
            true => println!("{expression}: {time:.1?}, not in the picture"),
            false => println!("{expression}: {time:.1?}, score {:.3}", found.score),
        }
    }

    let start = Instant::now();
    let texts: Vec<&str> = expressions.iter().map(String::as_str).collect();
    let all = session.segment_all(&texts)?; // the same masks, computed in batches
    println!("all {} at once: {:.1?}", all.len(), start.elapsed());
    Ok(())
}
