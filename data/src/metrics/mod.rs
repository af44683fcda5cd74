//! How well predicted masks match annotated ones, under two protocols.
//!
//! - [`ReferringMetrics`]: RefCOCO, RefCOCO+ and RefCOCOg. cIoU, mIoU and Prec@X of the masks
//!   (RES), and Prec@0.5 of their boxes (REC).
//! - [`GeneralizedMetrics`]: gRefCOCO, where an expression may have no target (GRES). gIoU, cIoU,
//!   N-acc and T-acc.
//!
//! Both take one expression at a time and keep only sums, so a whole split needs no memory to speak
//! of. The sums are integers: a report is the same to the last bit in whatever order, and in
//! however many parts joined by `merge`, the expressions came. Reports are in percent; a value
//! without any sample to it is `None`, `null` in JSON.

mod generalized;
mod referring;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use generalized::{Answer, GeneralizedMetrics, GeneralizedReport};
pub use referring::{ReferringMetrics, ReferringReport};

/// Whose rules the numbers follow; numbers under different protocols cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The field's: every expression of a split counts once, a rejected expression has an empty
    /// mask, and boxes reach to the far edge of their last pixel.
    #[default]
    Standard,
    /// The published scripts': the reject decision counts for N-acc and T-acc and for expressions
    /// without a target, but empties no mask; boxes end at their last pixel's index; mean IoUs are
    /// averaged within each image and then over the images. These scripts also ask only the first
    /// expression of each image, which is the caller's part.
    Released,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Released => "released",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Standard, Self::Released].into_iter();
        let mut known = known.filter(|protocol| protocol.to_string() == name);
        known.next().ok_or_else(|| format!("expected standard or released, found {name:?}"))
    }
}

/// The mean of numbers from 0 to 1, independent of their order.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    /// Their sum in units of 2^-53: an f64 from 0 to 1 loses less than one unit.
    units: u128,
    n: u64,
}

impl Mean {
    const UNITS: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;

    fn add(&mut self, value: f64) {
        self.units += (value * Self::UNITS) as u128;
        self.n += 1;
    }

    fn merge(&mut self, other: Self) {
        self.units += other.units;
        self.n += other.n;
    }

    fn value(self) -> Option<f64> {
        (self.n > 0).then(|| self.units as f64 / Self::UNITS / self.n as f64)
    }
}

/// The mean IoU: over expressions, or within each image and then over the images.
#[derive(Debug, Clone)]
enum MeanIou {
    OverExpressions(Mean),
    OverImages(BTreeMap<u64, Mean>),
}

impl MeanIou {
    fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Standard => Self::OverExpressions(Mean::default()),
            Protocol::Released => Self::OverImages(BTreeMap::new()),
        }
    }

    fn add(&mut self, image: u64, iou: f64) {
        match self {
            Self::OverExpressions(mean) => mean.add(iou),
            Self::OverImages(images) => images.entry(image).or_default().add(iou),
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::OverExpressions(mean), Self::OverExpressions(more)) => mean.merge(*more),
            (Self::OverImages(images), Self::OverImages(more)) => {
                for (&image, &mean) in more {
                    images.entry(image).or_default().merge(mean);
                }
            }
            // `merge` is only called for accumulators of one protocol.
            _ => {}
        }
    }

    fn value(&self) -> Option<f64> {
        match self {
            Self::OverExpressions(mean) => mean.value(),
            Self::OverImages(images) => {
                let mut over_images = Mean::default();
                images.values().filter_map(|image| image.value()).for_each(|v| over_images.add(v));
                over_images.value()
            }
        }
    }
}

/// Two accumulators of different protocols were to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected metrics under the {expected:?} protocol, found {found:?}; \
     evaluate both parts under one protocol"
)]
pub struct ProtocolMismatch {
    /// The protocol of the accumulator that was to grow.
    pub expected: Protocol,
    /// The protocol of the other one.
    pub found: Protocol,
}

fn check_same_protocol(expected: Protocol, found: Protocol) -> Result<(), ProtocolMismatch> {
    if expected == found { Ok(()) } else { Err(ProtocolMismatch { expected, found }) }
}

/// `part` of `whole` in percent, or `None` when there is no whole.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}
