//! Files that list records, and the records of refs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use mllmseg_data::files::FileError;
use serde::Serialize;
use serde_json::json;

use crate::Part;

/// A JSON file that is written record by record.
pub(crate) struct JsonFile {
    path: PathBuf,
    file: BufWriter<File>,
    /// What separates the next record from what is before it.
    separator: &'static str,
}

impl JsonFile {
    /// Creates a file that starts with `text`.
    pub(crate) fn create(path: PathBuf, text: &str) -> Result<Self, FileError> {
        let file = File::create_new(&path).map_err(FileError::at(&path))?;
        let mut file = Self { path, file: BufWriter::with_capacity(1 << 20, file), separator: "" };
        file.text(text)?;
        Ok(file)
    }

    /// Writes text between records, such as brackets and keys; a new list may follow.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), FileError> {
        self.separator = "\n";
        self.file.write_all(text.as_bytes()).map_err(FileError::at(&self.path))
    }

    /// Writes the next record of a list.
    pub(crate) fn record(&mut self, record: &impl Serialize) -> Result<(), FileError> {
        self.text(self.separator)?;
        self.separator = ",\n";
        let written = serde_json::to_writer(&mut self.file, record);
        written.map_err(|error| FileError::at(&self.path)(error.into()))
    }

    /// Ends the file with `text`.
    pub(crate) fn finish(mut self, text: &str) -> Result<(), FileError> {
        self.text(text)?;
        self.file.flush().map_err(FileError::at(&self.path))
    }
}

/// The image of refs.
pub(crate) struct RefImage<'r> {
    pub id: u64,
    pub file_name: &'r str,
    pub part: Part,
    /// The annotation and the category of each object.
    pub object_ids: Vec<[i64; 2]>,
}

/// A file of refs, which numbers refs and sentences.
pub(crate) struct RefFile {
    pub json: JsonFile,
    refs: u64,
    sentences: u64,
}

impl RefFile {
    pub(crate) fn create(path: PathBuf) -> Result<Self, FileError> {
        Ok(Self { json: JsonFile::create(path, "[")?, refs: 0, sentences: 0 })
    }

    /// Writes a ref of refcoco (one annotation) or of grefcoco (a list of them) with its expressions.
    pub(crate) fn record<A: Serialize>(
        &mut self,
        image: &RefImage<'_>,
        texts: &[&str],
        [ann_id, category_id]: [A; 2],
        no_target: Option<bool>,
    ) -> Result<(), FileError> {
        self.refs += 1;
        let sent_ids: Vec<u64> = (self.sentences + 1..).take(texts.len()).collect();
        self.sentences += texts.len() as u64;
        let sentence = |(id, text): (&u64, &&str)| {
            let tokens: Vec<&str> = text.split(' ').collect();
            json!({ "sent_id": id, "raw": text, "sent": text, "tokens": tokens })
        };
        let sentences: Vec<_> = sent_ids.iter().zip(texts).map(sentence).collect();
        let mut record = json!({
            "ref_id": self.refs,
            "image_id": image.id,
            "ann_id": ann_id,
            "category_id": category_id,
            "split": image.part.name(),
            "file_name": image.file_name,
            "sent_ids": sent_ids,
            "sentences": sentences,
        });
        if let Some(no_target) = no_target {
            record["no_target"] = no_target.into();
        }
        self.json.record(&record)
    }
}
