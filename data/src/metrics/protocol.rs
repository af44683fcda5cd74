//! The rules that metrics follow.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// Whose rules the numbers follow; numbers under different protocols cannot be compared.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Display, EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown)]
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

fn unknown(name: &str) -> String {
    format!("expected standard or released, found {name:?}")
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
