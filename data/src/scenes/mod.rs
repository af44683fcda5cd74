//! Drawn scenes: pictures of coloured shapes, and expressions that refer to them, without end.
//!
//! A scene comes from a [`World`] (the dials), a seed and an index alone, and is the same on every
//! machine. What is said of it is true and unambiguous, which [`checker`] finds out for itself from
//! the words and the visible pixels; and the words do not tell whether there is a target.
//! [`write_dataset`] puts scenes on disk in the layout that [`refer`](crate::refer) reads.
//!
//! ```
//! use mllmseg_data::scenes::{self, Part, World};
//!
//! let world = World::small();
//! let scene = scenes::generate(&world, 7, Part::Train.index(0));
//! let picture = scene.draw();
//! for said in scenes::expressions(&world, &scene) {
//!     let mask = scene.mask(&said.targets); // empty where there is no target
//!     assert_eq!(mask.size(), [picture.height() as usize, picture.width() as usize]);
//!     assert_eq!(scenes::checker::check(&said.text, &scene), Ok(said.targets));
//! }
//! ```

pub mod checker;
mod dataset;
mod error;
mod folder;
mod forms;
mod outline;
mod paint;
mod picture;
mod records;
mod rng;
mod scene;
mod select;
mod truth;
mod words;
mod world;

pub use dataset::{ORIGIN_FILE, SynthOptions, SynthReport, write_dataset};
pub use error::ScenesError;
pub use forms::{Form, Slots};
pub use picture::PictureFormat;
pub use scene::{Object, Scene, generate};
pub use select::{SceneExpression, expressions, single_expressions};
pub use world::{Colour, Shape, Size, World};

/// The parts of a data set. No scene of one is a scene of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// For training.
    Train,
    /// For choosing what to keep.
    Val,
    /// For the first report.
    TestA,
    /// For the second report.
    TestB,
}

impl Part {
    /// Every part, in the order of files.
    pub const ALL: [Self; 4] = [Self::Train, Self::Val, Self::TestA, Self::TestB];

    /// The name that files mark the part's refs with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::TestA => "testA",
            Self::TestB => "testB",
        }
    }

    /// The index of scene number `number` (below 2^62) of this part, for [`generate`].
    pub fn index(self, number: u64) -> u64 {
        (self as u64) << 62 | number & (u64::MAX >> 2)
    }
}
