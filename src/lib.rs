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

pub mod ahead;
pub mod allocator;
pub mod check;
pub mod convert;
pub mod device;
pub mod evaluate;
pub mod formats;
pub mod hub;
pub mod machine;
pub mod merge;
pub mod overlay;
pub mod segmenter;
#[cfg(feature = "serve")]
pub mod serve;
pub mod tiny;
pub mod training;

pub use mllmseg_data as data;
pub use mllmseg_model as model;
pub use mllmseg_scenes as scenes;
pub use mllmseg_train as train;
pub use segmenter::{
    ActivationMap, Generated, ImageSession, MaskPrediction, SegmentError, Segmenter,
};
