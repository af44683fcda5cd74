//! Masks of a validation split in the middle of a training, scored by the standard protocol.

use burn::tensor::{DType, Device, Tensor, TensorData};
use mllmseg_data::image::preprocess;
use mllmseg_data::mask::Bitmap;
use mllmseg_data::mask::probability::mask_from_probabilities;
use mllmseg_data::metrics::{Answer, GeneralizedMetrics, Protocol};
use mllmseg_data::prompt::{TokenizedPrompt, evaluation_answer, evaluation_question};
use mllmseg_data::refer::{AnnotationId, ReferDataset};
use mllmseg_data::tokenizer::SpecialTokens;
use mllmseg_model::Mllmseg;
use mllmseg_model::mllmseg::{SegToken, Segmented, token_tensor};

use crate::mix::{Conversation, MixError, open_split};
use crate::recipe::ValidationRecipe;

/// The most expressions in one pass.
const BATCH: usize = 8;

/// The expressions to predict, in passes of one image each.
#[derive(Debug)]
pub struct ValidationSet {
    data: ReferDataset,
    generalized: bool,
    passes: Vec<Pass>,
    conversation: Conversation,
}

#[derive(Debug)]
struct Pass {
    image_id: i64,
    expressions: Vec<(String, Vec<AnnotationId>)>,
}

/// One image with some of its expressions, on no device yet.
#[derive(Debug)]
pub(crate) struct ValidationItem {
    image_id: i64,
    /// Normalised pixels `[1, 3, size, size]`.
    pixels: TensorData,
    /// One forced answer for each expression.
    prompts: Vec<TokenizedPrompt>,
    /// The true mask of each; `None` without a target.
    truths: Vec<Option<Bitmap>>,
    /// Height and width of the image.
    image_size: (usize, usize),
    /// Whether `[REJ]` counts: the data set has expressions without a target.
    generalized: bool,
}

impl ValidationSet {
    /// The first expressions of a split; no image is touched.
    ///
    /// # Errors
    /// [`MixError::Refer`].
    pub fn open(
        root: &std::path::Path,
        recipe: &ValidationRecipe,
        conversation: Conversation,
    ) -> Result<Self, MixError> {
        let (dataset, split) = (recipe.dataset.parse()?, recipe.split.parse()?);
        let data = open_split(root, dataset, split)?;
        let generalized = data.generalized(split);
        let mut left = recipe.expressions;
        let mut passes = Vec::new();
        for item in data.items(split)? {
            let used = item.expressions.len().min(left);
            left -= used;
            for expressions in item.expressions[..used].chunks(BATCH) {
                let owned = expressions.iter().map(|e| (e.text.to_string(), e.targets.to_vec()));
                passes.push(Pass { image_id: item.image.id, expressions: owned.collect() });
            }
        }
        Ok(Self { data, generalized, passes, conversation })
    }

    /// The number of passes.
    pub(crate) fn len(&self) -> usize {
        self.passes.len()
    }

    /// Reads the image of a pass, below [`len`](Self::len), and makes its prompts.
    ///
    /// # Errors
    /// [`MixError`], which names the image.
    pub(crate) fn item(&self, index: usize) -> Result<ValidationItem, MixError> {
        let Pass { image_id, expressions } = &self.passes[index];
        let image = self.data.image(*image_id)?;
        let path = self.data.image_path(image)?;
        let pixels = self.data.read_image(image)?;
        let prompts = expressions.iter().map(|(text, _)| {
            let question = evaluation_question(&[text]);
            let answer = evaluation_answer(&[text], &[false]);
            let prompt = self.conversation.tokenize(&question, &answer);
            prompt.map_err(MixError::prompt(&path, text))
        });
        let truths = expressions.iter().map(|(_, targets)| self.data.mask(image, targets));
        let size = self.conversation.image_size;
        Ok(ValidationItem {
            image_id: *image_id,
            pixels: TensorData::new(preprocess(&pixels, size), [1, 3, size, size]),
            prompts: prompts.collect::<Result<_, _>>()?,
            truths: truths.collect::<Result<_, _>>()?,
            image_size: (pixels.height() as usize, pixels.width() as usize),
            generalized: self.generalized,
        })
    }
}

impl ValidationItem {
    /// Scores the model's masks and reject decisions. The prompts are continuations of one prefix, so
    /// the image is encoded once.
    ///
    /// # Errors
    /// The device's message if results cannot be read back.
    pub fn score(
        &self,
        model: &Mllmseg,
        special: &SpecialTokens,
        device: &Device,
    ) -> Result<GeneralizedMetrics, String> {
        let pixels = Tensor::<4>::from_data(self.pixels.clone(), (device, DType::F32));
        let (prefix, _) = self.prompts[0].split();
        let prefix_ids = token_tensor(&[prefix], 0, device); // [1, p]
        let image = model.encode_prefix(
            model.encode_image(pixels),
            prefix_ids,
            self.prompts[0].image_range.start,
        );
        let continuations: Vec<_> = self.prompts.iter().map(|prompt| prompt.split().1).collect();
        let segs = self.prompts.iter().enumerate().flat_map(|(row, prompt)| {
            let positions = prompt.answer_positions(special.seg);
            positions.map(move |position| SegToken { row, position, image: 0 })
        });
        let ids = token_tensor(&continuations, 0, device); // [n, t]
        let Segmented { seg_tokens, masks, .. } =
            model.segment_continuations(&image, ids, &segs.collect::<Vec<_>>());
        let [_, height, width] = masks.dims();

        let unread = |error| format!("results cannot be read back from the device: {error:?}");
        let best = model.language_model.predicted_ids(seg_tokens); // [n]
        let best = best.try_into_data().map_err(unread)?;
        let rejected = best.iter::<i64>().map(|id| id == i64::from(special.rej));
        let masks = masks.cast(DType::F32).try_into_data().map_err(unread)?;
        let probabilities: Vec<f32> = masks.iter::<f32>().collect();
        let maps = probabilities.chunks(height * width);
        let mut sums = GeneralizedMetrics::new(Protocol::Standard);
        for ((map, rejected), truth) in maps.zip(rejected).zip(&self.truths) {
            let mask = mask_from_probabilities(map, (height, width), self.image_size);
            let mask = mask.map_err(|error| error.to_string())?;
            let answer = Answer { mask: &mask, rejected: self.generalized && rejected };
            sums.add(self.image_id as u64, answer, truth.as_ref())
                .map_err(|error| error.to_string())?;
        }
        Ok(sums)
    }
}
