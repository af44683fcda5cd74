//! Own data: a folder with images, and a file of JSON lines for each split.
//!
//! ```text
//! FOLDER/   train.jsonl  val.jsonl  testA.jsonl …   photos/a.jpg …   masks/a.png …
//! ```
//!
//! A split is the file of its name. Each line is one expression:
//!
//! ```json
//! {"image": "photos/a.jpg", "expression": "the red cup", "mask": "masks/a.png"}
//! ```
//!
//! `mask` is the path of a PNG ([`read_mask`](crate::image::read_mask) says which pixels count), a
//! polygon `[x0, y0, x1, y1, …]` or a list of them, run lengths `{"size": [height, width], "counts":
//! …}` or a list of them, or `null` where the image holds no such thing. `mask_value` picks one value of a
//! PNG that holds several objects ([`read_index_mask`](crate::image::read_index_mask)). Other keys are ignored,
//! and so are blank lines.
//!
//! A line is a ref with one sentence and at most one annotation, all under one identifier: line `n`
//! of the split at index `s` of [`Split::ALL`] has `1000000000 s + n`. An image's identifier is that
//! of the first line of the split that names it. So identifiers depend on nothing but the split's
//! own file.

mod checks;
mod line;
mod lines;
mod place;

use std::collections::HashMap;
use std::path::Path;

use super::instances::Instances;
use super::names::Names;
use super::refs::{RefExpressions, Sentence};
use super::{Annotation, AnnotationId, ImageInfo, ReferError, Split};
use crate::files::FileError;
use crate::leniency::Leniencies;
use line::Line;
use place::{EXTENSION, SPLIT_STEP, file_name, file_of};
pub(super) use place::{line_error, place};

/// Reads the files of all splits, or of `only` one, and the sizes of the images they name.
pub(super) fn read(
    folder: &Path,
    only: Option<Split>,
    leniencies: &mut Leniencies,
) -> Result<(Vec<RefExpressions>, Instances), ReferError> {
    let wanted = |split: &Split| only.is_none_or(|only| only == *split);
    let there = |split: &Split| file_of(folder, *split).is_file();
    let splits: Vec<Split> = Split::ALL.iter().copied().filter(wanted).filter(there).collect();
    if splits.is_empty() {
        std::fs::read_dir(folder).map_err(FileError::at(folder))?; // there may be no folder at all
        let names = only.map_or("train.jsonl, val.jsonl, test.jsonl, …".to_owned(), file_name);
        let expected = format!("{names} (a file of JSON lines for each split)");
        let look_alike = |name: &str| name.to_lowercase().ends_with(EXTENSION);
        return Err(ReferError::no_files(folder, expected, look_alike));
    }
    let mut data = OwnData::default();
    let names = Names::under(folder);
    for split in splits {
        data.read_split(folder, split, &names, leniencies)?;
    }
    checks::measure(folder, &mut data.images)?;
    checks::check_masks(folder, &data.images, &data.annotations)?;
    // Identifiers grow with split and line, so both lists are sorted.
    Ok((data.refs, Instances::of(data.images, data.annotations)))
}

#[derive(Default)]
struct OwnData {
    refs: Vec<RefExpressions>,
    images: Vec<ImageInfo>,
    annotations: Vec<Annotation>,
}

impl OwnData {
    fn read_split(
        &mut self,
        folder: &Path,
        split: Split,
        names: &Names,
        leniencies: &mut Leniencies,
    ) -> Result<(), ReferError> {
        let index = Split::ALL.iter().position(|one| *one == split).unwrap_or(0);
        let mut image_ids: HashMap<Box<str>, i64> = HashMap::new();
        lines::for_each(&file_of(folder, split), |number, bytes| {
            let id = index as i64 * SPLIT_STEP + number as i64; // lines::MAX_LINES is far below a step
            let place = |_: &Line| format!("{}: line {number}", file_name(split));
            let line = leniencies.count(place, || Line::parse(bytes, names))?;
            let image_id = match image_ids.get(&line.image) {
                Some(&image_id) => image_id,
                None => {
                    let file_name = line.image.clone();
                    self.images.push(ImageInfo { id, file_name, width: 0, height: 0 });
                    image_ids.insert(line.image, id);
                    id
                }
            };
            self.refs.push(RefExpressions {
                ref_id: id,
                image_id,
                ann_ids: line.mask.iter().map(|_| AnnotationId::Number(id)).collect(),
                split: split.name().into(),
                file_name: "".into(),
                sentences: vec![Sentence { sent_id: id, raw: line.raw, sent: line.sent }],
            });
            self.annotations.extend(line.mask.map(|segmentation| Annotation {
                id: AnnotationId::Number(id),
                image_id,
                category_id: None,
                bbox: None,
                is_crowd: false,
                segmentation,
            }));
            Ok(())
        })
    }
}
