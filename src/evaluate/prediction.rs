//! Predictions files: JSON lines, one for each expression.
//!
//! ```json
//! {"ref_id": 1, "sent_id": 2, "segmentation": {"size": [480, 640], "counts": "..."}, "rejected": false}
//! ```
//!
//! `rejected` is false where it is absent, and other keys are ignored. Files of
//! [`evaluate`](super::evaluate) have a `score` too, and their first line says under `mllmseg` how
//! they were made. One JSON list of the same entries is read as well, and [`write_list`] writes it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use mllmseg_data::files::{FileError, NewFile};
use mllmseg_data::mask::probability::THRESHOLD;
use mllmseg_data::mask::{EncodedRle, MaskError, Rle};
use mllmseg_data::metrics::Protocol;
use mllmseg_data::refer::{Expression, ImageInfo, for_each_record};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{EvalError, Shard};

/// The longest line in bytes, far above any mask's.
const MAX_LINE: u64 = 64 << 20;

/// The answer to one expression.
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
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whether the expression could not be asked (no words, or a reserved token).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
}

impl Prediction {
    /// What an expression counts with that no model can be asked: an empty mask.
    pub(super) fn unasked(expression: Expression, image: &ImageInfo) -> Result<Self, MaskError> {
        let size = [image.height, image.width];
        let segmentation = Rle::new(size, vec![image.height.saturating_mul(image.width)])?.into();
        let Expression { ref_id, sent_id, .. } = expression;
        Ok(Self {
            made_by: None,
            ref_id,
            sent_id,
            segmentation,
            rejected: false,
            score: None,
            unasked: true,
        })
    }
}

/// What must be the same for predictions to belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeBy {
    /// A fingerprint of the checkpoint's files.
    pub checkpoint: String,
    /// The dtype of the computation.
    pub dtype: String,
    /// The data set.
    pub dataset: String,
    /// Its part.
    pub split: String,
    /// Whose split.
    pub split_by: String,
    /// Whose rules.
    pub protocol: Protocol,
    /// The probability from which on a pixel belongs to a mask.
    #[serde(default = "published_threshold", skip_serializing_if = "is_published_threshold")]
    pub threshold: f32,
    /// Which part of the split, where it is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

fn published_threshold() -> f32 {
    THRESHOLD
}

fn is_published_threshold(threshold: &f32) -> bool {
    *threshold == THRESHOLD
}

impl MadeBy {
    /// [`EvalError::OtherRun`] with the first difference between this run and the file at `path`.
    pub(super) fn check_same(&self, found: &Self, path: &Path) -> Result<(), EvalError> {
        let fields = |label: &Self| {
            [
                ("dataset", label.dataset.clone()),
                ("split_by", label.split_by.clone()),
                ("split", label.split.clone()),
                ("protocol", label.protocol.to_string()),
                ("dtype", label.dtype.clone()),
                ("threshold", label.threshold.to_string()),
                ("shard", label.shard.map_or("1/1".into(), |shard| shard.to_string())),
                ("checkpoint fingerprint", label.checkpoint.clone()),
            ]
        };
        for ((field, expected), (_, found)) in fields(self).into_iter().zip(fields(found)) {
            if expected != found {
                return Err(EvalError::OtherRun(path.to_owned(), field, expected, found));
            }
        }
        Ok(())
    }
}

/// A number, or nothing where another program has something else under this key.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_f64())
}

/// Calls `visit` with every entry of a predictions file, JSON lines or one JSON list. The file is
/// never in memory as a whole.
///
/// # Errors
/// If the file is neither (the error names the entry), and what `visit` returns.
pub fn read_predictions(
    path: &Path,
    visit: impl FnMut(Prediction) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let mut file = BufReader::new(File::open(path).map_err(FileError::at(path))?);
    loop {
        let ready = file.fill_buf().map_err(FileError::at(path))?;
        match ready.trim_ascii_start().first() {
            None if !ready.is_empty() => {
                let blank = ready.len();
                file.consume(blank);
            }
            Some(b'[') | None => return read_list(path, visit), // an empty file is a list cut short
            Some(_) => return read_lines(path, LastLine::Whole, visit),
        }
    }
}

fn read_list(
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

/// What the last line of a file may be.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum LastLine {
    /// As every other line.
    Whole,
    /// Torn by a kill or a power cut; then it is dropped.
    MayBeTorn,
}

/// [`read_predictions`] for JSON lines.
pub(super) fn read_lines(
    path: &Path,
    last: LastLine,
    mut visit: impl FnMut(Prediction) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let mut file = BufReader::new(File::open(path).map_err(FileError::at(path))?);
    let mut header: Option<MadeBy> = None;
    let mut bytes = Vec::new();
    for line in 1u64.. {
        bytes.clear();
        let mut limited = (&mut file).take(MAX_LINE);
        limited.read_until(b'\n', &mut bytes).map_err(FileError::at(path))?;
        let at_end = file.fill_buf().map_err(FileError::at(path))?.is_empty();
        let torn = at_end && last == LastLine::MayBeTorn;
        let failed = |detail| {
            let detail = format!("line {line}: {detail}; correct the line or delete the file");
            Err(EvalError::Predictions(path.to_owned(), detail))
        };
        let json = bytes.trim_ascii();
        match serde_json::from_slice::<Prediction>(json) {
            _ if bytes.len() as u64 == MAX_LINE => {
                return failed(format!("longer than {MAX_LINE} bytes"));
            }
            _ if json.is_empty() => {}
            _ if torn && !bytes.ends_with(b"\n") => {}
            Ok(mut entry) => {
                entry.made_by = entry.made_by.or(header.take());
                visit(entry)?;
            }
            Err(error) => match serde_json::from_slice::<Header>(json) {
                Ok(found) if line == 1 => header = Some(found.mllmseg),
                _ if torn => {}
                _ => return failed(error.to_string().replace(" at line 1 column", " at column")),
            },
        }
        if at_end {
            break;
        }
    }
    Ok(())
}

/// The first line of an unfinished file by version 0.1.0; now the first entry holds the label.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    mllmseg: MadeBy,
}

/// Writes one line.
pub(super) fn write_line(file: &mut impl Write, entry: &Prediction) -> io::Result<()> {
    serde_json::to_writer(&mut *file, entry)?;
    file.write_all(b"\n")
}

/// Writes the predictions of a file as one JSON list to `list`, which appears whole.
///
/// # Errors
/// As [`read_predictions`], and if `list` cannot be written.
pub fn write_list(predictions: &Path, list: &Path) -> Result<(), EvalError> {
    let mut file = NewFile::create(list)?;
    let mut before = "[\n";
    read_predictions(predictions, |entry| {
        let json = serde_json::to_string(&entry).map_err(io::Error::from);
        let written = json.and_then(|json| write!(file, "{before}{json}"));
        before = ",\n";
        Ok(written.map_err(FileError::at(list))?)
    })?;
    file.write_all(b"\n]\n").map_err(FileError::at(list))?;
    Ok(file.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"ref_id":1,"sent_id":2,"segmentation":{"size":[1,2],"counts":[2]}}"#;

    fn read(text: &str, last: LastLine) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let mut count = 0;
        let visit = |_| {
            count += 1;
            Ok(())
        };
        let read = match last {
            LastLine::Whole => read_predictions(file.path(), visit),
            LastLine::MayBeTorn => read_lines(file.path(), last, visit),
        };
        read.map(|()| count).map_err(|error| error.to_string())
    }

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

    #[test]
    fn lines_and_a_list_are_read() {
        let half = &LINE[..30];
        for text in [
            format!("{LINE}\n{LINE}\n"),
            format!(" \n\n{LINE}\r\n{LINE}"),
            format!("\n [{LINE},{LINE}]"),
        ] {
            assert_eq!(read(&text, LastLine::Whole), Ok(2), "{text}");
        }
        for (text, entries) in [
            (format!("{LINE}\n{LINE}"), 1), // cut before the end of the line, so it may be torn
            (format!("{LINE}\n{half}"), 1),
            (format!("{LINE}\n{half}\n"), 1),
            (String::new(), 0),
        ] {
            assert_eq!(read(&text, LastLine::MayBeTorn), Ok(entries), "{text}");
        }
        for (text, last, says) in [
            (format!("{LINE}\n{half}"), LastLine::Whole, "line 2: EOF"),
            (format!("{LINE}\n{half}\n{LINE}\n"), LastLine::MayBeTorn, "line 2: EOF"),
            ("{}".into(), LastLine::Whole, "line 1: missing field `ref_id`"),
        ] {
            let error = read(&text, last).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
