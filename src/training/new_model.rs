//! A model from nothing: sizes of a preset, a tokenizer trained on the data's own words, and drawn
//! weights.

use std::collections::BTreeSet;

use mllmseg_data::prompt::{Template, evaluation_answer, evaluation_question};
use mllmseg_data::refer::{Dataset, Split};
use mllmseg_data::tokenizer::Tokenizer;
use mllmseg_model::checkpoint::{SaveOptions, save_model};
use mllmseg_model::init::{mask_prior, sinusoidal_positions};
use mllmseg_model::{Mllmseg, Preset};
use mllmseg_train::mix::{MixError, open_split};

use super::error::TrainingError;
use super::run_files::RunFiles;
use crate::device;

/// Tokens of a new vocabulary, besides the added ones. With more, whole phrases of a small world
/// become single tokens.
const VOCABULARY: usize = 768;
/// Expressions that the tokenizer is trained on.
const TEXTS: usize = 20_000;

/// Writes the checkpoint that the run starts from; the same recipe and data give the same bytes.
pub(super) fn create(files: &RunFiles) -> Result<(), TrainingError> {
    let recipe = &files.recipe;
    let new = recipe.new_model.as_ref().ok_or(TrainingError::NoStart)?;
    let preset = new.preset.parse::<Preset>();
    let preset = preset.map_err(|message| TrainingError::Name("new_model.preset", message))?;
    let mut config = preset.config();
    config.mask_decoder.variant = new.decoder;
    let texts = texts(files, &config.template)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokenizer = Tokenizer::train(&texts, VOCABULARY, &files.base())?;
    config.language.vocab_size = tokenizer.vocab_size();
    // Drawn on the CPU, so that every device starts from the same numbers.
    let device = device::cpu().device;
    device.seed(recipe.seed);
    let mut model = Mllmseg::new(&config, None, &device);
    model = sinusoidal_positions(model);
    if let Some(logit) = new.mask_prior {
        model = mask_prior(model, logit);
    }
    Ok(save_model(&model, &config, None, &files.base(), SaveOptions::default())?)
}

/// Whole conversations with the expressions of the data, each once.
fn texts(files: &RunFiles, template: &str) -> Result<Vec<String>, TrainingError> {
    let recipe = &files.recipe;
    let split: Split = recipe.data.split.parse().map_err(MixError::Refer)?;
    let template = Template::from_name(template).map_err(crate::segmenter::SegmentError::Prompt)?;
    let mut expressions = BTreeSet::new();
    for name in BTreeSet::from_iter(&recipe.data.mix) {
        let dataset: Dataset = name.parse().map_err(MixError::Refer)?;
        let data = open_split(&files.data, dataset, split).map_err(MixError::Refer)?;
        let items = data.items(split).map_err(MixError::Refer)?;
        let all = items.iter().flat_map(|item| &item.expressions);
        let room = TEXTS.saturating_sub(expressions.len());
        expressions.extend(all.take(room).map(|expression| expression.text.to_lowercase()));
    }
    let frame = [template.system_text(), "system\n", "user\n", "assistant\n"].map(String::from);
    let asked = expressions.iter().flat_map(|text| {
        let answer = evaluation_answer(&[text], &[false]);
        [evaluation_question(&[text]), answer.replace("[SEG]", "")]
    });
    // The words of the frame are in every conversation: whole tokens for them come first.
    let frame = frame.iter().cloned().cycle().take(frame.len() * expressions.len());
    Ok(asked.chain(frame).collect())
}
