//! The examples of a step: a data set drawn uniformly, then one of its images, then some of the
//! image's expressions.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::TensorData;
use mllmseg_data::image::{ImageError, jpeg_recompress, preprocess};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::{
    ANSWER_STYLES, PromptError, QUESTIONS, Template, TokenizedPrompt, evaluation_answer,
    evaluation_question, tokenize_conversation, training_prompt,
};
use mllmseg_data::refer::{
    AnnotationId, Dataset, ImageInfo, OpenOptions, ReferDataset, ReferError, Split,
};
use mllmseg_data::tokenizer::Tokenizer;
use rayon::prelude::*;
use thiserror::Error;

use crate::batch::{HostBatch, TrainExample};
use crate::draw::Draw;
use crate::recipe::{PromptStyle, Prompting, Recipe};

/// Why there are no examples.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what is wrong and what its fields hold")]
pub enum MixError {
    #[error(transparent)]
    Refer(#[from] ReferError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("{image}: expression {text:?}: {source}")]
    Prompt { image: String, text: String, source: Box<PromptError> },
}

impl MixError {
    /// Adds the image and the expression to a [`PromptError`].
    pub(crate) fn prompt(path: &Path, text: &str) -> impl FnOnce(PromptError) -> Self {
        move |source| {
            let (image, text) = (path.display().to_string(), text.to_string());
            Self::Prompt { image, text, source: Box::new(source) }
        }
    }
}

/// How a model's conversations are built.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its template.
    pub template: Template,
    /// Tokens of an image.
    pub num_image_tokens: usize,
    /// Side of the square image that the vision encoder takes, in pixels.
    pub image_size: usize,
}

impl Conversation {
    /// The tokens of a question and its answer.
    pub(crate) fn tokenize(
        &self,
        question: &str,
        answer: &str,
    ) -> Result<TokenizedPrompt, PromptError> {
        let Self { tokenizer, template, num_image_tokens, .. } = self;
        tokenize_conversation(tokenizer, *template, question, Some(answer), *num_image_tokens)
    }
}

/// Data sets to draw from.
#[derive(Debug)]
pub struct DataMix {
    sets: Vec<TrainingSet>,
    conversation: Conversation,
    recipe: Recipe,
}

/// One data set's share of a split.
#[derive(Debug)]
struct TrainingSet {
    data: ReferDataset,
    items: Vec<Item>,
}

/// An image and its expressions.
#[derive(Debug)]
struct Item {
    image_id: i64,
    expressions: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    text: String,
    targets: Vec<AnnotationId>,
}

impl DataMix {
    /// Opens the data sets of a recipe under `root`; no image is touched.
    ///
    /// # Errors
    /// [`MixError::Refer`] for one that is not there or lacks the split.
    pub fn open(
        root: &Path,
        recipe: &Recipe,
        conversation: Conversation,
    ) -> Result<Self, MixError> {
        let split: Split = recipe.data.split.parse()?;
        let sets = recipe.data.mix.iter().map(|name| {
            let data = open_split(root, name.parse()?, split)?;
            let items = data.items(split)?.iter().map(Item::owned).collect();
            Ok(TrainingSet { data, items })
        });
        let sets = sets.collect::<Result<_, MixError>>()?;
        Ok(Self { sets, conversation, recipe: recipe.clone() })
    }

    /// For each data set its name, images and expressions.
    pub fn sizes(&self) -> impl Iterator<Item = (Dataset, usize, usize)> {
        self.sets.iter().map(|set| {
            let expressions = set.items.iter().map(|item| item.expressions.len()).sum();
            (set.data.dataset(), set.items.len(), expressions)
        })
    }

    /// All batches of a step. The same step always has the same.
    ///
    /// # Errors
    /// [`MixError`], which names the image.
    pub fn step(&self, step: usize) -> Result<Vec<HostBatch>, MixError> {
        let batches = self.recipe.batch.batches_per_step;
        let first = step as u64 * batches as u64;
        (first..first + batches as u64).map(|number| self.batch(number)).collect()
    }

    /// Batch number `number` of the run.
    fn batch(&self, number: u64) -> Result<HostBatch, MixError> {
        let images = self.recipe.batch.images;
        let first = number * images as u64;
        let drawn: Vec<DrawnImage> = (first..first + images as u64)
            .into_par_iter()
            .map(|index| self.image(Draw::new(self.recipe.seed, index)))
            .collect::<Result<_, _>>()?;
        let size = self.conversation.image_size;
        let mut pixels = Vec::with_capacity(images * 3 * size * size);
        let (mut examples, mut image_of) = (Vec::new(), Vec::new());
        for (row, image) in drawn.into_iter().enumerate() {
            pixels.extend(image.pixels);
            image_of.resize(examples.len() + image.examples.len(), row);
            examples.extend(image.examples);
        }
        let pixels = TensorData::new(pixels, [images, 3, size, size]);
        Ok(HostBatch { pixels, examples, image_of })
    }

    /// Draws an image, its expressions, and the questions and answer styles of its conversations.
    fn image(&self, mut draw: Draw) -> Result<DrawnImage, MixError> {
        let set = &self.sets[draw.below(self.sets.len())];
        let item = &set.items[draw.below(set.items.len())];
        let data = &self.recipe.data;
        let chosen = draw.choose(item.expressions.len(), data.expressions_per_image);
        let chosen: Vec<&Expression> = chosen.into_iter().map(|i| &item.expressions[i]).collect();
        let conversations = match data.prompting {
            Prompting::Joint => vec![chosen],
            Prompting::Separate => chosen.into_iter().map(|expression| vec![expression]).collect(),
        };
        let styles: Vec<[usize; 2]> = conversations
            .iter()
            .map(|_| [draw.below(QUESTIONS.len()), draw.below(ANSWER_STYLES.len())])
            .collect();
        let image = set.data.image(item.image_id)?;
        let path = set.data.image_path(image)?;
        let mut pixels = set.data.read_image(image)?;
        if let [least, most] = data.jpeg_quality[..] {
            let quality = least + draw.below(usize::from(most - least) + 1) as u8;
            pixels = jpeg_recompress(&pixels, quality)?;
        }
        let examples = conversations
            .into_iter()
            .zip(styles)
            .map(|(expressions, style)| self.example(set, image, &path, &expressions, style))
            .collect::<Result<_, _>>()?;
        Ok(DrawnImage { pixels: preprocess(&pixels, self.conversation.image_size), examples })
    }

    fn example(
        &self,
        set: &TrainingSet,
        image: &ImageInfo,
        path: &Path,
        expressions: &[&Expression],
        [question, answer]: [usize; 2],
    ) -> Result<TrainExample, MixError> {
        let masks: Vec<Option<Bitmap>> = expressions
            .iter()
            .map(|expression| set.data.mask(image, &expression.targets))
            .collect::<Result<_, _>>()?;
        let rejected: Vec<bool> = masks.iter().map(Option::is_none).collect();
        let texts: Vec<&str> = expressions.iter().map(|expression| &*expression.text).collect();
        let turns = match self.recipe.data.prompt_style {
            PromptStyle::Training => training_prompt(&texts, &rejected, question, answer),
            PromptStyle::Evaluation => {
                Ok((evaluation_question(&texts), evaluation_answer(&texts, &rejected)))
            }
        };
        let prompt =
            turns.and_then(|(question, answer)| self.conversation.tokenize(&question, &answer));
        let prompt = prompt.map_err(MixError::prompt(path, &texts.join(", ")))?;
        Ok(TrainExample::new(prompt, masks))
    }
}

/// Opens a data set for one of its splits, published by its default owner.
///
/// # Errors
/// [`ReferError`] for one that is not there or lacks the split.
pub fn open_split(root: &Path, dataset: Dataset, split: Split) -> Result<ReferDataset, ReferError> {
    let options = OpenOptions { only: Some(split), ..OpenOptions::default() };
    ReferDataset::open_with(root, dataset, options)
}

/// A preprocessed image and its conversations.
struct DrawnImage {
    pixels: Vec<f32>,
    examples: Vec<TrainExample>,
}

impl Item {
    fn owned(item: &mllmseg_data::refer::ReferItem) -> Self {
        let expressions = item.expressions.iter().map(|expression| Expression {
            text: expression.text.to_string(),
            targets: expression.targets.to_vec(),
        });
        Self { image_id: item.image.id, expressions: expressions.collect() }
    }
}
