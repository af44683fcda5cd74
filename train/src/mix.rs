//! The examples of a step: a data set drawn uniformly, then one of its images, then some of the
//! image's expressions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use burn::tensor::TensorData;
use mllmseg_data::image::{ImageError, jpeg_recompress, preprocess};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::{
    ANSWER_STYLES, PromptError, QUESTIONS, Template, TokenizedPrompt, check_expression,
    evaluation_answer, evaluation_question, tokenize_conversation, training_prompt,
};
use mllmseg_data::refer::{
    AnnotationId, CheckedImages, Contradictions, Dataset, ImageInfo, OpenOptions, ReferDataset,
    ReferError, ReferItem, Split,
};
use mllmseg_data::tokenizer::Tokenizer;
use rayon::prelude::*;
use thiserror::Error;

use crate::batch::{HostBatch, TrainExample};
use crate::draw::Draw;
use crate::recipe::{DataRecipe, PromptStyle, Prompting, Recipe};

/// How long to wait before an image that cannot be read is read again: a network drive may be back by then.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// How often another image is drawn in the place of bad ones.
const MAX_DRAWS: u64 = 1000;

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
    #[error(
        "{bad} images cannot be used, and data.max_bad_images allows {allowed}; mend them, or allow more by \
         --max-bad-images N (in RUN/recipe.toml for a run that is resumed):\n  {examples}"
    )]
    BadImages { bad: usize, allowed: usize, examples: String },
    #[error("{dataset}: no expression of its split `{split}` can be asked")]
    NothingToAsk { dataset: Dataset, split: Split },
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
    /// What is wrong with images, by data set and identifier.
    bad: Mutex<BTreeMap<(&'static str, i64), String>>,
}

/// One data set's share of a split.
#[derive(Debug)]
struct TrainingSet {
    data: ReferDataset,
    items: Vec<Item>,
    /// Expressions that cannot be asked, and are left out.
    unasked: usize,
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
            let data = open_split(root, name.parse()?, split, &recipe.data)?;
            let all = data.items(split)?;
            let count =
                |items: &[Item]| items.iter().map(|item| item.expressions.len()).sum::<usize>();
            let before: usize = all.iter().map(|item| item.expressions.len()).sum();
            let asked = all.par_iter().map(|item| Item::asked(item, &conversation.tokenizer));
            let mut items: Vec<Item> = asked.collect();
            items.retain(|item| !item.expressions.is_empty());
            if items.is_empty() {
                return Err(MixError::NothingToAsk { dataset: data.dataset(), split });
            }
            let unasked = before - count(&items);
            Ok(TrainingSet { data, items, unasked })
        });
        let sets = sets.collect::<Result<_, MixError>>()?;
        let bad = Mutex::default();
        Ok(Self { sets, conversation, recipe: recipe.clone(), bad })
    }

    /// What a user should know of the data: a line for each thing.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for TrainingSet { data, unasked, .. } in &self.sets {
            let skipped = data.skipped().examples.iter().map(|one| format!("contradiction: {one}"));
            notes.extend(skipped.chain(data.notes()));
            if *unasked > 0 {
                let dataset = data.dataset();
                notes.push(format!(
                    "{dataset}: {unasked} expressions cannot be asked and are left out"
                ));
            }
        }
        notes
    }

    /// The number of images that the mix draws from.
    pub fn image_count(&self) -> usize {
        self.sets.iter().map(|set| set.items.len()).sum()
    }

    /// Opens every image and reads its header, but for those that `checked` knows. Those that are missing, damaged or
    /// of another size than annotated are not drawn. `progress` is called with the number of images done.
    ///
    /// # Errors
    /// [`MixError::BadImages`] for more of them than the recipe allows.
    pub fn check_images(
        &self,
        checked: &mut CheckedImages,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), MixError> {
        let mut before = 0;
        for set in &self.sets {
            let ids = set.items.iter().map(|item| set.data.image(item.image_id));
            let images = ids.collect::<Result<Vec<_>, _>>()?;
            let wrong = checked.check(&set.data, &images, &|done| progress(before + done));
            before += images.len();
            for (index, error) in wrong {
                self.note_bad(set, images[index].id, error.to_string());
            }
        }
        self.check_bad()
    }

    /// What is wrong with the images that are not drawn.
    pub fn bad_images(&self) -> Vec<String> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn is_bad(&self, set: &TrainingSet, image_id: i64) -> bool {
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.contains_key(&(set.data.dataset().name(), image_id))
    }

    fn note_bad(&self, set: &TrainingSet, image_id: i64, why: String) {
        let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.insert((set.data.dataset().name(), image_id), why);
    }

    fn check_bad(&self) -> Result<(), MixError> {
        const EXAMPLES: usize = 3;
        let (all, allowed) = (self.bad_images(), self.recipe.data.max_bad_images);
        if all.len() <= allowed {
            return Ok(());
        }
        let examples = all[..all.len().min(EXAMPLES)].join("\n  ");
        Err(MixError::BadImages { bad: all.len(), allowed, examples })
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
            .map(|index| self.good_image(index))
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

    /// Image number `index` of the run. In the place of a bad one another is drawn, by a stream far from all others.
    fn good_image(&self, index: u64) -> Result<DrawnImage, MixError> {
        const ATTEMPT: u64 = 1 << 48;
        for attempt in 0..MAX_DRAWS {
            let mut draw = Draw::new(self.recipe.seed, index + attempt * ATTEMPT);
            let set = &self.sets[draw.below(self.sets.len())];
            let item = &set.items[draw.below(set.items.len())];
            if self.is_bad(set, item.image_id) {
                continue;
            }
            let mut drawn = self.image(set, item, draw.clone());
            for wait in RETRY_AFTER {
                if matches!(drawn, Ok(_) | Err(MixError::Prompt { .. })) {
                    break;
                }
                thread::sleep(wait);
                drawn = self.image(set, item, draw.clone());
            }
            match drawn {
                Ok(_) | Err(MixError::Prompt { .. }) => return drawn,
                Err(error) => self.note_bad(set, item.image_id, error.to_string()),
            }
            self.check_bad()?;
        }
        let (bad, allowed) = (self.bad_images().len(), self.recipe.data.max_bad_images);
        let examples = format!("after {MAX_DRAWS} draws no good one was found");
        Err(MixError::BadImages { bad, allowed, examples })
    }

    /// Draws expressions of an image, and the questions and answer styles of its conversations.
    fn image(
        &self,
        set: &TrainingSet,
        item: &Item,
        mut draw: Draw,
    ) -> Result<DrawnImage, MixError> {
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
pub fn open_split(
    root: &Path,
    dataset: Dataset,
    split: Split,
    recipe: &DataRecipe,
) -> Result<ReferDataset, ReferError> {
    let contradictions = match recipe.skip_contradictions {
        true => Contradictions::Skip,
        false => Contradictions::Refuse,
    };
    let options = OpenOptions {
        only: Some(split),
        contradictions,
        strict: recipe.strict,
        ..OpenOptions::default()
    };
    ReferDataset::open_with(root, dataset, options)
}

/// A preprocessed image and its conversations.
struct DrawnImage {
    pixels: Vec<f32>,
    examples: Vec<TrainExample>,
}

impl Item {
    /// The expressions that a model can be asked: with words, and without tokens of its own.
    fn asked(item: &ReferItem, tokenizer: &Tokenizer) -> Self {
        let asked =
            item.expressions.iter().filter(|one| check_expression(tokenizer, one.text).is_ok());
        let expressions = asked.map(|expression| Expression {
            text: expression.text.to_string(),
            targets: expression.targets.to_vec(),
        });
        Self { image_id: item.image.id, expressions: expressions.collect() }
    }
}
