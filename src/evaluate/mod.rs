//! The benchmarks: RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO, and data of one's own.
//!
//! - [`Benchmark`] and [`Selection`]: which expressions are asked, and the annotated mask of each.
//! - [`evaluate`]: a checkpoint's answers, image by image, with a journal from which a killed run
//!   resumes.
//! - [`score`]: the same numbers for predictions files from anywhere.
//! - [`check::check`]: what is in a data set, and what is wrong with it.
//! - [`report::write`]: one HTML page with the numbers, and images of where the model fails.
//!
//! ```no_run
//! use mllmseg::data::refer::{Dataset, Split};
//! use mllmseg::evaluate::{Benchmark, BenchmarkOptions, score};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = BenchmarkOptions::new(Dataset::RefCoco, Split::TestA);
//! let benchmark = Benchmark::open("data".as_ref(), options)?;
//! let evaluation = score(&benchmark.selection()?, &["predictions.jsonl"], false)?;
//! println!("{}", serde_json::to_string(&evaluation.summary)?);
//! # Ok(())
//! # }
//! ```

mod benchmark;
pub mod check;
mod error;
mod fingerprint;
mod journal;
mod parts;
mod prediction;
pub mod published;
pub mod report;
mod results;
mod run;
mod score;
mod shard;

pub use benchmark::{Benchmark, BenchmarkOptions, GroundTruth, Place, Selection};
pub use error::EvalError;
pub use prediction::{MadeBy, Prediction, read_predictions, write_list};
pub use results::{Evaluation, Numbers, Outcome, Summary};
pub use run::{Progress, RunOptions, evaluate};
pub use score::score;
pub use shard::{Shard, ShardError};
