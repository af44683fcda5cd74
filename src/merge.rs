//! A checkpoint with separate LoRA made into one without.

use std::path::Path;

use mllmseg_model::checkpoint::SaveOptions;
use mllmseg_model::checkpoint::merge::merge_weights;
use mllmseg_model::config::Layout;

pub use mllmseg_model::checkpoint::merge::MergeReport;

pub use crate::convert::ConvertError as MergeError;
use crate::convert::Source;
use crate::device;

/// Folds the LoRA of the checkpoint `input` into its base and writes the result to `output`, a new
/// or empty folder: weights under the names of a model without LoRA, each in its dtype on disk,
/// `config.json` with `use_llm_lora` 0, and the tokenizer's and other small files. Without `layout` they
/// keep that of `input`.
///
/// `output` appears whole or not at all, as [`mllmseg_data::files`] promises.
///
/// # Errors
/// See [`MergeError`]. Nothing is left behind then.
pub fn merge_lora(
    input: &Path,
    output: &Path,
    layout: Option<Layout>,
) -> Result<MergeReport, MergeError> {
    let source = Source::open(input)?;
    let layout = layout.unwrap_or(source.layout);
    source.write(output, layout, false, |files, folder| {
        let (shard, cpu) = (SaveOptions::default().max_shard_bytes, device::cpu().device);
        let report = merge_weights(files, &source.config, layout, folder, shard, &cpu)?;
        Ok((report, report.written.is_tied))
    })
}
