//! The records of `instances.json` and of the refs, and files that are lists of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ScenesError;
use crate::mask::Rle;

#[derive(Serialize)]
pub(super) struct ImageRecord<'r> {
    pub id: u64,
    pub file_name: &'r str,
    pub width: u32,
    pub height: u32,
}

#[derive(Serialize)]
pub(super) struct CategoryRecord {
    pub id: u64,
    pub name: &'static str,
    pub supercategory: &'static str,
}

#[derive(Serialize)]
pub(super) struct AnnotationRecord {
    pub id: u64,
    pub image_id: u64,
    pub category_id: u64,
    pub segmentation: Rle,
    pub area: u64,
    pub bbox: [u32; 4],
    pub iscrowd: u8,
}

/// A ref of refcoco (one annotation) or of grefcoco (a list of them).
#[derive(Serialize)]
pub(super) struct RefRecord<'r, A: Serialize> {
    pub ref_id: u64,
    pub image_id: u64,
    pub ann_id: A,
    pub category_id: A,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_target: Option<bool>,
    pub split: &'static str,
    pub file_name: &'r str,
    pub sent_ids: Vec<u64>,
    pub sentences: Vec<SentenceRecord<'r>>,
}

#[derive(Serialize)]
pub(super) struct SentenceRecord<'r> {
    pub sent_id: u64,
    pub raw: &'r str,
    pub sent: &'r str,
    pub tokens: Vec<&'r str>,
}

/// A JSON file that is written record by record.
pub(super) struct JsonFile {
    path: PathBuf,
    file: BufWriter<File>,
    /// Whether the list at hand has a record.
    started: bool,
}

impl JsonFile {
    pub(super) fn create(path: PathBuf) -> Result<Self, ScenesError> {
        let file = File::create_new(&path).map_err(ScenesError::io(&path))?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 20, file), started: false })
    }

    /// Writes text between records, such as brackets and keys; a new list may follow.
    pub(super) fn text(&mut self, text: &str) -> Result<(), ScenesError> {
        self.started = false;
        self.file.write_all(text.as_bytes()).map_err(ScenesError::io(&self.path))
    }

    /// Writes the next record of a list.
    pub(super) fn record(&mut self, record: &impl Serialize) -> Result<(), ScenesError> {
        let separator: &[u8] = if self.started { b",\n" } else { b"\n" };
        self.started = true;
        let file = &mut self.file;
        let written = file
            .write_all(separator)
            .and_then(|()| serde_json::to_writer(file, record).map_err(Into::into));
        written.map_err(ScenesError::io(&self.path))
    }

    /// Brings the file to the disk.
    pub(super) fn finish(mut self) -> Result<(), ScenesError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(ScenesError::io(&self.path))
    }
}

/// Copies a file, and brings the copy to the disk.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), ScenesError> {
    let copied = std::fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
    copied.map_err(ScenesError::io(to))
}
