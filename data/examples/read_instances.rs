//! Reads a data set and says what that cost: seconds, and peak memory against the weight of what was kept.
//!
//! `cargo run --release -p mllmseg-data --example read_instances -- ROOT DATASET [all]`
//!
//! With `all`, `instances.json` is read without leaving out what no ref names. To measure against Python's
//! `json` and `pickle`, see `tests/oracle/refer_large.py`.

use std::path::PathBuf;
use std::time::Instant;

use mllmseg_data::refer::{
    Annotation, Dataset, ImageInfo, Instances, Keep, RefExpressions, ReferDataset, Sentence,
    read_refs,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: read_instances ROOT DATASET [all]";
    let root = PathBuf::from(arguments.next().ok_or(usage)?);
    let dataset: Dataset = arguments.next().ok_or(usage)?.parse()?;
    let start = Instant::now();
    let kept = if arguments.next().as_deref() == Some("all") {
        let refs = read_refs(&dataset.refs_file(&root, dataset.default_split_by())?)?;
        println!("{} refs in {:.2} s", refs.len(), start.elapsed().as_secs_f64());
        let instances = Instances::read(&dataset.instances_file(&root), &Keep::All)?;
        report(&instances) + refs_bytes(&refs)
    } else {
        let read = ReferDataset::open(&root, dataset, None)?;
        report(read.instances()) + refs_bytes(read.all_refs())
    };
    println!("everything in {:.2} s", start.elapsed().as_secs_f64());
    println!("weight of what was kept {:.1} MiB", mebibytes(kept));
    // Linux keeps the peak; elsewhere, ask `time`.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        let kibibytes: usize =
            peak.split_whitespace().nth(1).ok_or("no number in VmHWM")?.parse()?;
        println!(
            "peak memory {:.1} MiB: {:.2} times that",
            mebibytes(kibibytes * 1024),
            (kibibytes * 1024) as f64 / kept as f64
        );
    }
    Ok(())
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn report(instances: &Instances) -> usize {
    let (images, annotations) = (instances.images(), instances.annotations());
    println!("{} images and {} annotations kept", images.len(), annotations.len());
    size_of_val(images)
        + images.iter().map(|image: &ImageInfo| image.file_name.len()).sum::<usize>()
        + size_of_val(annotations)
        + annotations.iter().map(|one: &Annotation| one.segmentation.heap_bytes()).sum::<usize>()
}

fn refs_bytes(refs: &[RefExpressions]) -> usize {
    let sentence = |one: &Sentence| size_of::<Sentence>() + one.raw.len() + one.sent.len();
    let heap = |entry: &RefExpressions| {
        size_of_val(&*entry.ann_ids)
            + size_of_val(&*entry.category_ids)
            + entry.split.len()
            + entry.file_name.len()
            + entry.sentences.iter().map(sentence).sum::<usize>()
    };
    size_of_val(refs) + refs.iter().map(heap).sum::<usize>()
}
