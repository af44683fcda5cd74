//! Configuration, tokenizer, files and weights: each is read once, and what fails does not hide the
//! others.

use mllmseg_data::tokenizer::{Tokenizer, TokenizerError};
use mllmseg_model::MllmsegConfig;
use mllmseg_model::checkpoint::named_weights::for_each_weight;
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::checkpoint::{CheckpointError, LoadOptions, WeightFiles};
use mllmseg_model::parameters::parameter_count;

use super::report::{Report, Verdict};
use super::subject::Subject;
use crate::segmenter::Segmenter;

/// Texts that come back from the tokenizers of all bases as they went in.
const TEXTS: [&str; 4] = [
    "the man in the red shirt, 2nd from the left",
    "café: naïve \"quotes\" & (50%)  two spaces",
    "左边穿红衣服的男人",
    "🦊 below the ½ moon\n",
];

/// The model, if every part of it is usable.
pub(super) fn load(report: &mut Report, subject: &Subject) -> Option<Segmenter> {
    let config = report.need("config", MllmsegConfig::read(subject.dir));
    if let Some((config, assumed)) = &config {
        report.add("config", Verdict::Ok, config_detail(config, assumed));
    }
    let tokenizer = report.need("tokenizer", Tokenizer::from_dir(subject.dir));
    let tokenizer = tokenizer.filter(|tokenizer| match round_trips(tokenizer) {
        Ok(()) => {
            let (texts, size) = (TEXTS.len(), tokenizer.vocab_size());
            let added = tokenizer.added_tokens().count();
            let detail = format!("{size} tokens; {texts} texts and {added} added tokens come back");
            report.add("tokenizer", Verdict::Ok, detail);
            true
        }
        Err(problem) => {
            report.add("tokenizer", Verdict::Failed, problem);
            false
        }
    });
    let files = report.need("files", open(subject));
    if let Some(files) = &files {
        report.add("files", Verdict::Ok, files_detail(files));
    }
    let (Some((config, _)), Some(tokenizer), Some(files)) = (config, tokenizer, files) else {
        report.add("weights", Verdict::Skipped, "they need all of the above");
        return None;
    };
    let options = LoadOptions { dtype: subject.dtype, ..Default::default() };
    let loaded = Segmenter::from_parts(config, tokenizer, files, subject.device, options);
    let segmenter = report.need("weights", loaded)?;
    match segmenter.report.fresh_mask_decoder {
        true => report.add(
            "weights",
            Verdict::Warning,
            "names and shapes fit; a base model: its mask decoder is not trained, its masks mean nothing",
        ),
        false => {
            let count = parameter_count(&segmenter.model);
            report.add("weights", Verdict::Ok, format!("names and shapes fit; {count} parameters"));
        }
    }
    check_values(report, &segmenter);
    Some(segmenter)
}

fn open(subject: &Subject) -> Result<WeightFiles, CheckpointError> {
    let files = WeightFiles::open(subject.dir)?;
    match subject.adapter {
        None => Ok(files),
        Some(adapter) => files.with_adapter(adapter),
    }
}

fn config_detail(config: &MllmsegConfig, assumed: &[String]) -> String {
    let (vision, language) = (&config.vision, &config.language);
    let assumed = match assumed.is_empty() {
        true => String::new(),
        false => format!("; assumed: {}", assumed.join(", ")),
    };
    format!(
        "vision {} x {}, {:?} {} x {}, template {}{assumed}",
        vision.num_hidden_layers,
        vision.hidden_size,
        language.architecture,
        language.num_hidden_layers,
        language.hidden_size,
        config.template
    )
}

fn files_detail(files: &WeightFiles) -> String {
    let dtypes = files.dtypes().into_iter().map(|(dtype, count)| format!("{count} {dtype}"));
    let dtypes = dtypes.collect::<Vec<_>>().join(", ");
    let adapter = files.adapter().map(|adapter| {
        let assumed = if adapter.scale_is_assumed { " (assumed)" } else { "" };
        let lora = adapter.lora;
        format!("; LoRA of rank {}, scale {}{assumed}", lora.rank, lora.scale())
    });
    let notes = files.notes().iter().map(|note| format!("; {note}"));
    let (bytes, count) = (files.byte_len(), files.shapes().count());
    let rest: String = adapter.into_iter().chain(notes).collect();
    format!("{count} tensors ({dtypes}), {bytes} bytes{rest}")
}

/// Texts come back, and each added token is one id.
fn round_trips(tokenizer: &Tokenizer) -> Result<(), String> {
    let said = |error: TokenizerError| error.to_string();
    for text in TEXTS {
        let ids = tokenizer.encode(text).map_err(said)?;
        let found = tokenizer.decode(&ids, false).map_err(said)?;
        if found != text {
            return Err(format!(
                "{text:?} comes back as {found:?}; fetch the tokenizer's files again"
            ));
        }
    }
    for token in tokenizer.added_tokens() {
        let found = tokenizer.encode(&token.content).map_err(said)?;
        if found != [token.id] {
            let (content, id) = (&token.content, token.id);
            return Err(format!("{content}: expected the one id {id}, found {found:?}"));
        }
    }
    Ok(())
}

/// No weight is NaN or infinite, and none of the matrices is all zero, as in a file with a hole.
fn check_values(report: &mut Report, segmenter: &Segmenter) {
    let table = NameTable::new(&segmenter.config, segmenter.report.lora_rank.is_some());
    let names = table.names();
    let (mut count, mut bad, mut zero, mut unread) = (0, Vec::new(), Vec::new(), None);
    for_each_weight(&segmenter.model, |path, weight| {
        let name = || names.get(path).copied().unwrap_or(path).to_string();
        count += 1;
        let values = weight.values();
        let is_zero = values.clone().equal_elem(0.0).all().try_into_scalar::<bool>();
        match (values.is_finite().all().try_into_scalar::<bool>(), is_zero) {
            (Ok(false), _) => bad.push(name()),
            (Ok(true), Ok(true)) if weight.shape().num_dims() > 1 => zero.push(name()),
            (Ok(true), Ok(_)) => {}
            (Err(error), _) | (_, Err(error)) => unread = Some(segmenter.read_back(error)),
        }
    });
    match (unread, &bad[..], &zero[..]) {
        (Some(error), ..) => report.add("values", Verdict::Failed, error),
        (None, [first, more @ ..], _) => {
            let detail = format!(
                "{first} has NaN or infinite numbers{}; fetch the file again, or train from an earlier snapshot",
                and_more(more)
            );
            report.add("values", Verdict::Failed, detail);
        }
        (None, [], [first, more @ ..]) => {
            let detail = format!("{first} is all zero{}", and_more(more));
            report.add("values", Verdict::Warning, detail);
        }
        (None, [], []) => {
            report.add("values", Verdict::Ok, format!("all numbers of {count} weights are finite"));
        }
    }
}

fn and_more(more: &[String]) -> String {
    match more.len() {
        0 => String::new(),
        count => format!(", and {count} more"),
    }
}
