//! How well predicted masks match annotated ones, under two protocols.
//!
//! - [`ReferringMetrics`]: RefCOCO, RefCOCO+ and RefCOCOg. cIoU, mIoU and Prec@X of the masks
//!   (RES), and Prec@0.5 of their boxes (REC).
//! - [`GeneralizedMetrics`]: gRefCOCO, where an expression may have no target (GRES). gIoU, cIoU,
//!   N-acc and T-acc.
//!
//! Both take one expression at a time and keep only sums, so a whole split needs no memory to speak
//! of. The sums are integers: a report is the same to the last bit in whatever order the expressions
//! came; [`GeneralizedMetrics`] also joins parts of a split. Reports are in percent; a value without
//! any sample to it is `None`, `null` in JSON.

mod generalized;
mod mean;
mod protocol;
mod referring;

pub use generalized::{Answer, GeneralizedMetrics, GeneralizedReport};
pub use protocol::{Protocol, ProtocolMismatch};
pub use referring::{ReferringMetrics, ReferringReport};
