//! The targets that need no network: data sets, masks, images, tokenizers.

use std::path::Path;

use mllmseg_data::image::{Orientation, decode_image, read_mask, read_size};
use mllmseg_data::mask::polygon::rasterize;
use mllmseg_data::mask::{Rle, Segmentation};
use mllmseg_data::refer::{Dataset, Instances, MaskSource, ReferDataset, Split, read_refs};
use mllmseg_data::tokenizer::Tokenizer;

use super::fragments::{self, text};
use super::scratch::{with_file, with_files};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets.
pub const TARGETS: &[Target] = &[
    ("pickle", pickle),
    ("refs_json", refs_json),
    ("instances", instances),
    ("own_lines", own_lines),
    ("coco_string", coco_string),
    ("segmentation", segmentation),
    ("polygons", polygons),
    ("mask_png", mask_png),
    ("image", image),
    ("tokenizer_json", tokenizer_json),
    ("tokenizer_model", tokenizer_model),
    ("tokenizer_vocab", tokenizer_vocab),
];

/// Sides of masks: small, so that time goes into parsing.
const SIDE: usize = 24;

/// A refs pickle.
pub fn pickle(bytes: &[u8]) {
    with_file("refs(unc).p", bytes, |path| drop(read_refs(path)));
}

/// A refs file as JSON.
pub fn refs_json(bytes: &[u8]) {
    with_file("refs.json", &text(bytes, fragments::REFS), |path| drop(read_refs(path)));
}

/// An `instances.json`; every mask of it is drawn.
pub fn instances(bytes: &[u8]) {
    with_file("instances.json", &text(bytes, fragments::INSTANCES), |path| {
        let Ok(read) = Instances::read(path, None) else { return };
        for annotation in read.annotations() {
            if let MaskSource::Inline(segmentation) = &annotation.segmentation {
                let _ = segmentation.to_bitmap(SIDE, SIDE);
            }
        }
    });
}

/// The lines of own data: a folder with `val.jsonl` and one image.
pub fn own_lines(bytes: &[u8]) {
    let lines = text(bytes, fragments::OWN);
    with_files(&[("val.jsonl", &lines), ("a.png", fragments::PNG)], |folder| {
        let Ok(data) = ReferDataset::open(folder, Dataset::Own, None) else { return };
        for item in data.items(Split::Val).into_iter().flatten() {
            for expression in &item.expressions {
                let _ = data.mask(item.image, expression.targets);
            }
        }
    });
}

/// COCO's compressed runs; what is read is written again as it was understood.
pub fn coco_string(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let size = [SIDE as u32; 2];
    if let Ok(rle) = Rle::from_coco_string(size, text) {
        let again = Rle::from_coco_string(size, &rle.to_coco_string()).expect("own output");
        assert_eq!(again, rle);
        assert_eq!(rle.area(), rle.to_bitmap().area());
    }
}

/// The `segmentation` of an annotation, in every form.
pub fn segmentation(bytes: &[u8]) {
    let text = text(bytes, fragments::SEGMENTATION);
    let Ok(segmentation) = serde_json::from_slice::<Segmentation>(&text) else { return };
    let _ = segmentation.check();
    if let Ok(mask) = segmentation.to_bitmap(SIDE, SIDE) {
        assert_eq!(Rle::from_bitmap(&mask).to_bitmap(), mask);
    }
}

/// Polygons of any coordinates.
pub fn polygons(bytes: &[u8]) {
    let coordinates: Vec<f64> =
        bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
    let parts: Vec<&[f64]> = coordinates.chunks(8).collect();
    let _ = rasterize(SIDE, SIDE, &parts);
    // Near the image, where pixels are set.
    let near: Vec<f64> = bytes.iter().map(|&byte| f64::from(byte) / 8.0 - 4.0).collect();
    let _ = rasterize(SIDE, SIDE, &near.chunks(12).collect::<Vec<_>>());
}

/// A mask of own data.
pub fn mask_png(bytes: &[u8]) {
    with_file("mask.png", bytes, |path| drop(read_mask(path, 8, 8)));
}

/// An image in any format. Its header and its pixels tell the same size.
pub fn image(bytes: &[u8]) {
    // More pixels take time, of which a small file may claim millions, and find nothing.
    let small = |(width, height): (u32, u32)| u64::from(width) * u64::from(height) <= 1 << 12;
    with_file("image", bytes, |path: &Path| {
        let size = read_size(path, Orientation::Upright);
        if size.as_ref().is_ok_and(|&size| !small(size)) {
            return;
        }
        if let Ok(pixels) = decode_image(bytes, "image", Orientation::Upright) {
            assert_eq!(size.expect("a decoded image has a header"), pixels.dimensions());
        }
    });
}

/// `tokenizer.json`, and a text.
pub fn tokenizer_json(bytes: &[u8]) {
    let (file, text) = halves(bytes);
    tokenize(&[("tokenizer.json", &fragments::text(file, fragments::TOKENIZER))], text);
}

/// `tokenizer.model`, and a text.
pub fn tokenizer_model(bytes: &[u8]) {
    let (file, text) = halves(bytes);
    tokenize(&[("tokenizer.model", file)], text);
}

/// `vocab.json` with `merges.txt`, and a text.
pub fn tokenizer_vocab(bytes: &[u8]) {
    let (files, text) = halves(bytes);
    let (vocab, merges) = halves(files);
    let vocab = fragments::text(vocab, fragments::TOKENIZER);
    tokenize(&[("vocab.json", &vocab), ("merges.txt", merges)], text);
}

fn tokenize(files: &[(&str, &[u8])], text: &[u8]) {
    // A longer text takes time, and finds nothing that a short one does not.
    let text = &text[..text.len().min(256)];
    with_files(files, |folder| {
        let Ok(tokenizer) = Tokenizer::from_dir(folder) else { return };
        if let Ok(ids) = tokenizer.encode(&String::from_utf8_lossy(text)) {
            let _ = tokenizer.decode(&ids, false);
        }
    });
}

/// Two inputs in one, parted by the last zero byte.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().rposition(|&byte| byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, b"the red star"),
    }
}
