//! Prepares a batch for a step: checks it, encodes its images (Eq. 1), and finds all positions.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mllmseg_data::mask::Bitmap;
use mllmseg_model::Mllmseg;
use mllmseg_model::mllmseg::{SegToken, token_tensor};

use crate::batch::{TrainBatch, TrainExample};
use crate::shared_prefix::{SharedPrefixBatch, SharedPrefixContext};
use crate::step_error::StepError;

/// Pads conversations on the right: attention is causal, so no other token changes.
const PADDING: u32 = 0;

/// A checked batch whose images have gone through the vision encoder.
pub(crate) struct PreparedBatch<'a> {
    batch: &'a TrainBatch,
    pub targets: Targets<'a>,
    pub device: Device,
    /// Position of the first `<IMG_CONTEXT>`.
    pub image_start: usize,
    /// Tokens at the start of each example that go through the language model once per image; 0
    /// where no image is shared.
    pub prefix_len: usize,
    /// T_img1 `[b, p, c]`, on the autodiff device: a constant where vision is frozen.
    pub image_tokens: Tensor<3>,
    /// After `mlp1`, `[b, l, d]`, likewise.
    pub projected: Tensor<3>,
}

/// The targets of the losses. States are indexed in the flattened `[n t]` of the conversations or,
/// where images are shared, of the continuations.
#[derive(Default)]
pub(crate) struct Targets<'a> {
    /// States that predict a token with a loss.
    pub predicting: Vec<i32>,
    /// These tokens.
    pub tokens: Vec<i32>,
    /// Every `[SEG]` of the answers.
    pub segs: Vec<SegToken>,
    /// The true mask of each of them.
    pub masks: Vec<&'a Bitmap>,
    /// Expressions without a target.
    pub rejected: usize,
}

/// Sizes that every example must fit.
struct BatchShape {
    /// Position of the first `<IMG_CONTEXT>`, and how many there are.
    image_start: usize,
    image_length: usize,
    /// Rows of the token table.
    vocabulary: usize,
    /// Id of `[SEG]`.
    seg_token: u32,
}

impl<'a> PreparedBatch<'a> {
    /// Checks a batch and encodes its images (Eq. 1).
    pub fn new(model: &Mllmseg, batch: &'a TrainBatch, seg_token: u32) -> Result<Self, StepError> {
        let first = check_rows(batch)?;
        let image_tokens = model.encode_image(batch.pixels.clone()); // [b, p, c]
        let projected = model.projector.forward(image_tokens.clone()); // [b, l, d]
        let [_, image_length, _] = projected.dims();
        let shape = BatchShape {
            image_start: first.image_start,
            image_length,
            vocabulary: model.language_model.embed_tokens.weight.shape()[0],
            seg_token,
        };
        check_examples(batch, &shape)?;
        let prefix_len = if batch.shares_images() { shape.prefix_len() } else { 0 };
        Ok(Self {
            batch,
            targets: Targets::of(batch, prefix_len, seg_token),
            device: batch.pixels.device(),
            image_start: shape.image_start,
            prefix_len,
            // Dropout acts on autodiff tensors only.
            image_tokens: image_tokens.autodiff(),
            projected: projected.autodiff(),
        })
    }

    /// Eq. 2: whole conversations or, where images are shared, their prefixes and continuations.
    pub fn embed(&self, model: &Mllmseg) -> (SharedPrefixBatch, SharedPrefixContext) {
        let Self { batch, prefix_len, device, .. } = self;
        let rows: Vec<_> = batch.examples.iter().map(|e| &e.input_ids[*prefix_len..]).collect();
        let ids = token_tensor(&rows, PADDING, device); // [n, t]
        let embed = |ids| model.embed_with_image(ids, self.projected.clone(), self.image_start);
        let (embeddings, prefix_of) = if batch.shares_images() {
            let [images, ..] = batch.pixels.dims();
            let prefix = &batch.examples[0].input_ids[..*prefix_len];
            let prefixes = embed(token_tensor(&vec![prefix; images], PADDING, device)); // [b, t, d]
            let continuations = Some(model.language_model.embed_tokens.forward(ids)); // [n, t', d]
            let prefix_of: Vec<_> = batch.image_of.iter().map(|&row| row as i32).collect();
            (SharedPrefixBatch { prefixes, continuations }, Some(ints(&prefix_of, device)))
        } else {
            (SharedPrefixBatch { prefixes: embed(ids), continuations: None }, None)
        };
        let context = embeddings.context(&model.language_model, prefix_of);
        (embeddings, context)
    }
}

impl<'a> Targets<'a> {
    fn of(batch: &'a TrainBatch, prefix_len: usize, seg_token: u32) -> Self {
        let lengths = batch.examples.iter().map(|example| example.input_ids.len() - prefix_len);
        let length = lengths.max().unwrap_or(0);
        let mut targets = Self::default();
        for (row, (example, &image)) in batch.examples.iter().zip(&batch.image_of).enumerate() {
            for (position, label) in example.predictions() {
                targets.predicting.push((row * length + position - prefix_len) as i32);
                targets.tokens.push(label as i32);
            }
            let segs = example.seg_positions(seg_token);
            targets.segs.extend(segs.map(|position| SegToken { row, position, image }));
            targets.masks.extend(example.masks.iter().flatten());
            targets.rejected += example.masks.iter().filter(|mask| mask.is_none()).count();
        }
        targets
    }
}

impl BatchShape {
    /// Tokens up to and including `</img>`.
    fn prefix_len(&self) -> usize {
        self.image_start.saturating_add(self.image_length).saturating_add(1)
    }
}

/// Whether every image has examples and every example an image; the first example.
fn check_rows(batch: &TrainBatch) -> Result<&TrainExample, StepError> {
    let [images, ..] = batch.pixels.dims();
    let examples = batch.examples.len();
    let rows = &batch.image_of;
    let starts_and_ends =
        rows.first() == Some(&0) && rows.last().map(|last| last + 1) == Some(images);
    let in_order = rows.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] <= pair[0] + 1);
    let fits = rows.len() == examples && starts_and_ends && in_order;
    batch.examples.first().filter(|_| fits).ok_or(StepError::BatchSize { images, examples })
}

fn check_examples(batch: &TrainBatch, shape: &BatchShape) -> Result<(), StepError> {
    let shares_images = batch.shares_images();
    let prefix = batch.examples.first().and_then(|e| e.input_ids.get(..shape.prefix_len()));
    for (index, example) in batch.examples.iter().enumerate() {
        check_example(example, shape)
            .and_then(|()| if shares_images { check_prefix(example, prefix) } else { Ok(()) })
            .map_err(|message| StepError::Example { example: index, message })?;
    }
    Ok(())
}

/// Why an example cannot be a continuation of `prefix`, if it cannot.
fn check_prefix(example: &TrainExample, prefix: Option<&[u32]>) -> Result<(), String> {
    let Some(prefix) = prefix.filter(|prefix| example.input_ids.starts_with(prefix)) else {
        return Err("its tokens up to </img> differ from those of the first example".into());
    };
    let early = example.predictions().find(|&(position, _)| position < prefix.len());
    match early {
        Some((position, _)) => Err(format!(
            "position {position} has a loss, but images that are shared end at {}",
            prefix.len()
        )),
        None => Ok(()),
    }
}

/// What is wrong with an example, if anything.
fn check_example(example: &TrainExample, shape: &BatchShape) -> Result<(), String> {
    let (ids, labels) = (&example.input_ids, &example.labels);
    if ids.len() != labels.len() {
        return Err(format!("{} ids but {} labels", ids.len(), labels.len()));
    }
    let (start, end) = (shape.image_start, shape.image_start.saturating_add(shape.image_length));
    if example.image_start != start {
        let found = example.image_start;
        return Err(format!("its image starts at {found}, that of the first example at {start}"));
    }
    if start == 0 || end > ids.len() {
        let length = ids.len();
        return Err(format!(
            "its image should be at {start}..{end}, after at least one token and inside the {length}"
        ));
    }
    let vocabulary = shape.vocabulary;
    let unknown_id = ids.iter().find(|&&id| id as usize >= vocabulary);
    let unknown_label = example
        .predictions()
        .map(|(_, label)| label)
        .find(|&label| label < 0 || label >= vocabulary as i64);
    if let Some(found) = unknown_id.map(|&id| i64::from(id)).or(unknown_label) {
        return Err(format!("token {found} is not among the {vocabulary} of the vocabulary"));
    }
    let segs = example.seg_positions(shape.seg_token).count();
    let masks = example.masks.iter().flatten().count();
    if segs != masks {
        return Err(format!("its answer has {segs} [SEG], but there are {masks} masks"));
    }
    Ok(())
}

/// Values as a tensor, `[k]`.
pub(crate) fn ints(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
