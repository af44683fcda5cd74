//! Predictions of one benchmark in several files: of one run, and all shards there.

use std::collections::BTreeMap;
use std::path::Path;

use super::prediction::read_predictions;
use super::{EvalError, MadeBy, Shard};

/// Missing shards that a message names.
const EXAMPLES: usize = 10;

/// Checks the labels of files that are scored together: the same model, data set and options, each
/// shard once, and, unless `allow_missing`, every shard. Files of other programs have no labels.
pub(super) fn check_parts(
    files: &[impl AsRef<Path>],
    allow_missing: bool,
) -> Result<(), EvalError> {
    let mut first: Option<(&Path, MadeBy)> = None;
    let mut shards: BTreeMap<Option<Shard>, &Path> = BTreeMap::new();
    let mut unlabelled = None;
    for path in files.iter().map(AsRef::as_ref) {
        let labels = labels_of(path)?;
        if labels.is_empty() {
            unlabelled = Some(path);
        }
        for label in labels {
            let shard = label.shard;
            let label = MadeBy { shard: None, ..label };
            match &first {
                Some((_, first)) => first.check_same(&label, path)?,
                None => first = Some((path, label)),
            }
            if let Some(other) = shards.insert(shard, path).filter(|_| shard.is_some()) {
                let shard = shard.map_or(String::new(), |shard| shard.to_string());
                let detail = format!("shard {shard} is in {} too; name one", other.display());
                return Err(EvalError::Predictions(path.to_owned(), detail));
            }
        }
    }
    if let (Some(path), Some((labelled, _))) = (unlabelled, &first) {
        let detail = format!(
            "expected predictions of the same run as {}, found no entry that says how it was made; \
             score it alone",
            labelled.display()
        );
        return Err(EvalError::Predictions(path.to_owned(), detail));
    }
    check_shards(&shards, allow_missing)
}

/// The labels in a file: one, or more where files were joined.
fn labels_of(path: &Path) -> Result<Vec<MadeBy>, EvalError> {
    let mut labels = Vec::new();
    read_predictions(path, |entry| {
        labels.extend(entry.made_by);
        Ok(())
    })?;
    Ok(labels)
}

fn check_shards(
    shards: &BTreeMap<Option<Shard>, &Path>,
    allow_missing: bool,
) -> Result<(), EvalError> {
    let mut named = shards.iter().filter_map(|(shard, path)| shard.map(|shard| (shard, *path)));
    let Some((first, path)) = named.next() else { return Ok(()) };
    let others =
        shards.iter().find(|(shard, _)| shard.is_none_or(|shard| shard.count() != first.count()));
    let failed = |path: &Path, detail| Err(EvalError::Predictions(path.to_owned(), detail));
    if let Some((other, other_path)) = others {
        let other = other.map_or("the whole".into(), |other| format!("shard {other}"));
        let detail = format!(
            "expected one of {} shards as in {}, found {other}; name the files of one division",
            first.count(),
            path.display()
        );
        return failed(other_path, detail);
    }
    let missing = (1..=first.count())
        .filter(|&number| !shards.keys().flatten().any(|shard| shard.number() == number));
    let mut missing =
        missing.take(EXAMPLES + 1).map(|number| number.to_string()).collect::<Vec<_>>();
    if missing.is_empty() || allow_missing {
        return Ok(());
    }
    if missing.len() > EXAMPLES {
        missing[EXAMPLES] = "...".into();
    }
    let detail = format!(
        "shard {first}: expected the files of all {} shards, found none of {}; add them, or score \
         what is there with --allow-missing",
        first.count(),
        missing.join(", ")
    );
    failed(path, detail)
}
