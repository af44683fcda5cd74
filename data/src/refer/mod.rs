//! The RefCOCO family: which expressions refer to which object of which image.
//!
//! The published layout is read as it is. Under one root folder:
//!
//! ```text
//! refcoco/    refs(unc).p  refs(google).p  instances.json      (refcoco+, refcocog, refclef, rrsisd alike)
//! ref-zom/    refs(final).p                instances.json
//! grefcoco/   grefs(unc).json or grefs(unc).p              instances.json
//! images/     mscoco/images/train2014/   saiapr_tc-12/ (refclef)   rrsisd/JPEGImages/
//!             mscoco/images/trainval2014/ (ref-zom)
//! ```
//!
//! Own data are opened in the same way ([`Dataset::Own`]): a folder with images and, for
//! each split, a file of JSON lines such as `train.jsonl`. `docs/book/src/own-data.md` describes them.
//!
//! A *ref* is one target with all expressions that people gave it. Refs are read first, then of
//! `instances.json` only what they name. Images are needed only where pixels are: scoring needs
//! none.
//!
//! ```no_run
//! use mllmseg_data::refer::{Dataset, ReferDataset, Split};
//!
//! # fn main() -> Result<(), mllmseg_data::refer::ReferError> {
//! let refcoco = ReferDataset::open("data".as_ref(), Dataset::RefCoco, None)?;
//! for item in refcoco.items(Split::TestA)? {
//!     println!("{}: {} expressions", item.image.file_name, item.expressions.len());
//! }
//! # Ok(())
//! # }
//! ```

mod annotation;
mod checked_images;
mod dataset;
mod error;
mod ground_truth;
mod ids;
mod instances;
mod items;
mod json_records;
mod names;
mod own;
mod reader;
mod refs;
mod splits;

pub use crate::leniency::{Leniencies, Leniency};
pub use annotation::{Annotation, MaskSource};
pub use checked_images::CheckedImages;
pub use dataset::Dataset;
pub use error::ReferError;
pub use ids::AnnotationId;
pub use instances::{ImageInfo, Instances};
pub use items::{Expression, ReferItem};
pub use json_records::for_each_record;
pub use mllmseg_pickle::Error as PickleError;
pub use reader::{Contradictions, OpenOptions, ReferDataset, Skipped};
pub use refs::{RefExpressions, Sentence, read_refs};
pub use splits::Split;
