//! Drawn scenes: images of coloured shapes, with expressions that refer to the shapes.
//!
//! A [`Scene`] depends only on a [`World`], a seed and an index. It is the same on every machine.
//! Its expressions are true and unambiguous, and their words do not reveal whether there is a target.
//! [`write_dataset`] writes scenes in the layout that [`mllmseg_data::refer`] reads.
//!
//! ```
//! use mllmseg_scenes::{Part, World, expressions, generate};
//!
//! let world = World::small();
//! let scene = generate(&world, 7, Part::Train.index(0));
//! let image = scene.draw();
//! for expression in expressions(&world, &scene) {
//!     let mask = scene.mask(&expression.targets); // empty if there is no target
//!     assert_eq!(mask.size(), [image.height() as usize, image.width() as usize]);
//! }
//! ```
#![warn(missing_docs)]

mod annotator;
mod candidates;
mod compose;
mod dataset;
mod error;
mod form;
mod image_file;
mod outline;
mod paint;
mod part;
mod recognise;
mod records;
mod rng;
mod scene;
mod select;
mod vocabulary;
mod world;

pub use compose::{Placed, compose};
pub use dataset::{ORIGIN_FILE, SynthOptions, SynthReport, write_dataset};
pub use error::ScenesError;
pub use form::{Form, Pattern, Slots};
pub use image_file::ImageFormat;
pub use part::Part;
pub use recognise::may_be_drawn;
pub use scene::{Object, Scene, generate};
pub use select::{SceneExpression, expressions, single_expressions};
pub use vocabulary::{Colour, Shape, Size};
pub use world::World;
