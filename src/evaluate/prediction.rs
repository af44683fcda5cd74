//! The predictions file: one JSON list with an entry for each expression.
//!
//! ```json
//! [{"ref_id": 1, "sent_id": 2, "segmentation": {"size": [480, 640], "counts": "..."}, "rejected": false}]
//! ```
//!
//! `rejected` is false where it is not written, and other keys are ignored. Files written by
//! [`evaluate`](super::evaluate) have a `score` too, and say in their first entry, under
//! `mllmseg`, how they were made.

use std::fmt;
use std::path::Path;

use mllmseg_data::mask::EncodedRle;
use mllmseg_data::metrics::Protocol;
use mllmseg_data::refer::for_each_record;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::EvalError;

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// How the file was made, in the first entry of files written here.
    #[serde(rename = "mllmseg", default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// The ref.
    pub ref_id: i64,
    /// Its expression.
    pub sent_id: i64,
    /// The mask at the image's size, as the protocol scores it: by [`Protocol::Standard`] that of
    /// a rejected expression is empty.
    pub segmentation: EncodedRle,
    /// Whether the model says that there is no target.
    #[serde(default)]
    pub rejected: bool,
    /// Mean probability inside the mask.
    #[serde(
        default,
        deserialize_with = "number_or_nothing",
        skip_serializing_if = "Option::is_none"
    )]
    pub score: Option<f64>,
    /// Whether the expression could not be asked (no words, or a reserved token).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
}

/// What must be the same for predictions to belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// A fingerprint of the checkpoint's files.
    pub checkpoint: String,
    /// The number type computed in.
    pub dtype: String,
    /// The data set.
    pub dataset: String,
    /// Its part.
    pub split: String,
    /// Whose split.
    pub split_by: String,
    /// Whose rules.
    pub protocol: Protocol,
}

impl MadeBy {
    /// The first thing that differs, and how.
    pub(super) fn difference(&self, found: &Self) -> Option<(&'static str, String, String)> {
        let protocols = [self, found].map(|label| label.protocol.to_string());
        let [protocol, other_protocol] = &protocols;
        let fields = [
            ("dataset", &self.dataset, &found.dataset),
            ("split_by", &self.split_by, &found.split_by),
            ("split", &self.split, &found.split),
            ("protocol", protocol, other_protocol),
            ("dtype", &self.dtype, &found.dtype),
            ("checkpoint fingerprint", &self.checkpoint, &found.checkpoint),
        ];
        let (field, expected, found) = fields.into_iter().find(|(_, a, b)| a != b)?;
        Some((field, expected.clone(), found.clone()))
    }
}

/// Calls `visit` with every entry of a predictions file; the file is never in memory as a whole.
///
/// # Errors
/// If the file is not such a list (the error names the entry), or what `visit` returns.
pub fn read_predictions(
    path: &Path,
    mut visit: impl FnMut(Prediction) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let mut failure = None;
    let read = for_each_record(path, "predictions", |entry| {
        visit(entry).map_err(|error| {
            failure = Some(error);
            String::new()
        })
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(read?),
    }
}

/// A number, or nothing where other programs keep something else under this name.
fn number_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Number;

    impl<'de> Visitor<'de> for Number {
        type Value = Option<f64>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("anything")
        }
        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(number))
        }
        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number as f64))
        }
        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number as f64))
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }

    deserializer.deserialize_any(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_keys_are_ignored() {
        for score in ["0.5", "null", "\"high\"", "[1, {\"a\": 2}]", "{\"iou\": 1}"] {
            let json = format!(
                r#"{{"score": {score}, "ref_id": 1, "model": {{"x": []}}, "sent_id": 2,
                    "segmentation": {{"size": [1, 2], "counts": [2], "extra": 1}}}}"#
            );
            let entry: Prediction = serde_json::from_str(&json).unwrap();
            assert_eq!((entry.ref_id, entry.sent_id, entry.rejected), (1, 2, false));
            assert_eq!(entry.score, (score == "0.5").then_some(0.5));
        }
    }
}
