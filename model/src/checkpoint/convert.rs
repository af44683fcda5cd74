//! A checkpoint written again in a layout, from files to files: no model is built.

use std::path::Path;

use super::error::CheckpointError;
use super::files::WeightFiles;
use super::names::NameTable;
use super::save::{Written, write_in_layout};
use crate::config::{Layout, MllmsegConfig};

/// Writes the weights in `layout`. Each keeps its bytes; a table that the files leave out stays so.
/// `config.json` and other files are not written here.
///
/// # Errors
/// [`CheckpointError::Mismatch`] naming the tensors that do not fit `config`, and
/// [`CheckpointError::Io`].
pub fn convert_weights(
    mut files: WeightFiles,
    config: &MllmsegConfig,
    layout: Layout,
    dir: &Path,
    max_shard_bytes: u64,
) -> Result<Written, CheckpointError> {
    let source = files.dir().to_path_buf();
    let table = NameTable::new(config, files.adapter().is_some());
    table.misfits(&mut files, config)?.refuse(&source)?;
    let (mut left, is_tied) = files.into_stored();
    let known = table.pairs().iter().filter_map(|(name, _)| left.remove(name));
    let mut tensors = known.collect::<Vec<_>>();
    tensors.extend(left.into_values()); // derived constants
    write_in_layout(tensors, is_tied, config, layout, dir, max_shard_bytes)
}
