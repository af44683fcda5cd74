//! MLLMSeg: say "the man in the red shirt" and get his mask.
//!
//! ```no_run
//! use mllmseg::{Segmenter, device};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let segmenter = Segmenter::load("checkpoint", &device::cpu())?;
//! let image = mllmseg::data::image::read_image("photo.jpg")?;
//! let session = segmenter.encode(&image)?; // once per image
//! let man = session.segment("the man in the red shirt")?; // cheap, as often as you like
//! println!("{:?} {:.2}", man.bounding_box, man.score);
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

#[cfg(not(target_family = "wasm"))]
pub mod ahead;
#[cfg(not(target_family = "wasm"))]
pub mod allocator;
pub mod check;
pub mod convert;
pub mod device;
#[cfg(not(target_family = "wasm"))]
pub mod evaluate;
pub mod formats;
#[cfg(not(target_family = "wasm"))]
pub mod hub;
#[cfg(not(target_family = "wasm"))]
pub mod machine;
#[cfg(not(target_family = "wasm"))]
pub mod merge;
pub mod overlay;
pub mod segmenter;
#[cfg(all(feature = "serve", not(target_family = "wasm")))]
pub mod serve;
#[cfg(not(target_family = "wasm"))]
pub mod tiny;
#[cfg(not(target_family = "wasm"))]
pub mod training;

pub use mllmseg_data as data;
pub use mllmseg_model as model;
pub use mllmseg_scenes as scenes;
#[cfg(not(target_family = "wasm"))]
pub use mllmseg_train as train;
pub use segmenter::{
    ActivationMap, Alteration, FusionMap, Generated, ImageSession, MaskPrediction, Room,
    SegmentError, Segmenter,
};
