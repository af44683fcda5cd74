//! The benchmarks: RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO, and data of one's own.
//!
//! - [`Benchmark`] and [`Selection`]: which expressions are asked, and the truth of each.
//! - [`evaluate`]: a checkpoint's answers, image by image, with a journal so that a killed run goes
//!   on where it stopped.
//! - [`score`]: the same numbers for a predictions file from anywhere.
//! - [`report::write`]: one HTML page with the numbers, and pictures of where the model fails.
//!
//! ```no_run
//! use mllmseg::data::refer::{Dataset, Split};
//! use mllmseg::evaluate::{Benchmark, BenchmarkOptions, score};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = BenchmarkOptions::new(Dataset::RefCoco, Split::TestA);
//! let benchmark = Benchmark::open("data".as_ref(), options)?;
//! let evaluation = score(&benchmark.selection()?, "predictions.json".as_ref(), false)?;
//! println!("{}", serde_json::to_string(&evaluation.summary)?);
//! # Ok(())
//! # }
//! ```

mod ahead;
mod benchmark;
mod error;
mod files;
mod fingerprint;
mod journal;
mod judge;
mod prediction;
pub mod published;
pub mod report;
mod run;
mod score;
mod summary;

pub use benchmark::{Benchmark, BenchmarkOptions, Place, Selection, Truth};
pub use error::EvalError;
pub use judge::{Numbers, Outcome, Scores};
pub use prediction::{MadeBy, Prediction, read_predictions};
pub use run::{RunOptions, Watch, evaluate};
pub use score::score;
pub use summary::{Evaluation, Summary};
