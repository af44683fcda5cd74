//! Load a checkpoint, encode an image once, and segment any number of expressions.

mod activation;
mod alteration;
mod error;
mod generate;
mod held;
mod prediction;
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use image::RgbImage;
use mllmseg_data::files::NewFolder;
use mllmseg_data::image::preprocess;
use mllmseg_data::mask::probability::THRESHOLD;
use mllmseg_data::prompt::{Template, TokenizedPrompt, tokenize_conversation};
use mllmseg_data::tokenizer::{REJ, SEG, SpecialTokens, Tokenizer};
use mllmseg_model::checkpoint::{
    CheckpointError, LoadOptions, LoadReport, SaveOptions, WeightFiles, load_files, save_model,
};
use mllmseg_model::config::{ConfigError, Layout};
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::mllmseg::{SegToken, Segmented, token_tensor};
use mllmseg_model::quantize::Quantization;
use mllmseg_model::{Mllmseg, MllmsegConfig, PrefixState};
use serde_json::Value;

use crate::convert::processor;
use crate::device::{DtypeChoice, SelectedDevice};
pub use activation::ActivationMap;
pub use alteration::{Alteration, FusionMap};
pub use error::SegmentError;
pub use generate::Generated;
pub use held::Room;
pub use prediction::MaskPrediction;
pub use session::ImageSession;

/// A model with its tokenizer, on a device.
///
/// ```
/// use mllmseg::{Segmenter, device, tiny};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segmenter = Segmenter::load(tiny::folder()?, &device::cpu())?; // any checkpoint folder
/// assert_eq!(segmenter.config.mask_size(), 96);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Segmenter {
    /// The network.
    pub model: Mllmseg,
    /// Its sizes.
    pub config: MllmsegConfig,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// How its conversations are written.
    pub template: Template,
    /// Ids of the tokens with a meaning of their own.
    pub special: SpecialTokens,
    /// Where it computes.
    pub device: SelectedDevice,
    /// What was found on loading.
    pub report: LoadReport,
    /// The folder that it was loaded from; the name of its weights where it was none.
    pub dir: PathBuf,
    /// A pixel belongs to a mask from this probability on: [`THRESHOLD`] unless it is changed.
    pub threshold: f32,
}

impl Segmenter {
    /// Loads a checkpoint folder in the device's best dtype ([`DtypeChoice::Auto`]).
    pub fn load(dir: impl AsRef<Path>, device: &SelectedDevice) -> Result<Self, SegmentError> {
        Self::load_as(dir, device, DtypeChoice::Auto)
    }

    /// Loads a checkpoint folder: `config.json`, tokenizer files and weights.
    ///
    /// A base model without mask decoder loads too: it gets `[SEG]` and `[REJ]` and a fresh decoder
    /// ([`Segmenter::report`] says so), as the start of a training.
    pub fn load_as(
        dir: impl AsRef<Path>,
        device: &SelectedDevice,
        dtype: DtypeChoice,
    ) -> Result<Self, SegmentError> {
        Self::load_for_training(dir.as_ref(), device, dtype.resolve(device)?, None)
    }

    /// As [`load_as`](Self::load_as), with the adapter of another folder, as PEFT saves it.
    pub fn load_with_adapter(
        dir: impl AsRef<Path>,
        adapter: impl AsRef<Path>,
        device: &SelectedDevice,
        dtype: DtypeChoice,
    ) -> Result<Self, SegmentError> {
        let (dir, dtype) = (dir.as_ref(), dtype.resolve(device)?);
        let files = |dir: &Path| WeightFiles::open(dir)?.with_adapter(adapter.as_ref());
        Self::load_from(dir, files, device, LoadOptions { dtype, ..Default::default() })
    }

    /// As [`load_as`](Self::load_as) in f32 on the CPU, with weights that are kept in fewer bits, and the
    /// adapter of another folder if there is one. It cannot be saved.
    ///
    /// # Errors
    /// Also [`SegmentError::QuantizedDevice`].
    pub fn load_quantized(
        dir: impl AsRef<Path>,
        adapter: Option<&Path>,
        device: &SelectedDevice,
        quantization: Quantization,
    ) -> Result<Self, SegmentError> {
        if device.id != "cpu" {
            return Err(SegmentError::QuantizedDevice(device.id.clone()));
        }
        let open = |dir: &Path| match adapter {
            None => WeightFiles::open(dir),
            Some(adapter) => WeightFiles::open(dir)?.with_adapter(adapter),
        };
        let options = LoadOptions { quantization, ..Default::default() };
        Self::load_from(dir.as_ref(), open, device, options)
    }

    /// As [`load_as`](Self::load_as), with new adapters where the checkpoint has none.
    pub(crate) fn load_for_training(
        dir: &Path,
        device: &SelectedDevice,
        dtype: DType,
        new_lora: Option<LoraConfig>,
    ) -> Result<Self, SegmentError> {
        let options = LoadOptions { dtype, new_lora, ..Default::default() };
        Self::load_from(dir, WeightFiles::open, device, options)
    }

    fn load_from(
        dir: &Path,
        open: impl FnOnce(&Path) -> Result<WeightFiles, CheckpointError>,
        device: &SelectedDevice,
        options: LoadOptions,
    ) -> Result<Self, SegmentError> {
        let config = MllmsegConfig::from_dir(dir)?;
        let tokenizer = Tokenizer::from_dir(dir)?;
        Self::from_parts(config, tokenizer, open(dir)?, device, options)
    }

    /// The model of a configuration, a tokenizer and weight files that are open already.
    pub(crate) fn from_parts(
        mut config: MllmsegConfig,
        mut tokenizer: Tokenizer,
        files: WeightFiles,
        device: &SelectedDevice,
        options: LoadOptions,
    ) -> Result<Self, SegmentError> {
        let template = Template::from_name(&config.template)?;
        let dir = files.dir().to_path_buf();
        let lacks_tokens = [SEG, REJ].iter().any(|token| tokenizer.token_id(token).is_none());
        if !files.has_mask_decoder() && lacks_tokens {
            tokenizer.add_segmentation_tokens()?;
        }
        let special = tokenizer.special_tokens()?;
        let options = LoadOptions { vocab_size: Some(tokenizer.vocab_size()), ..options };
        let (model, report) = load_files(files, &mut config, options, &device.device)?;
        let (device, tokenizer) = (device.clone(), Arc::new(tokenizer));
        Ok(Self {
            model,
            config,
            tokenizer,
            template,
            special,
            device,
            report,
            dir,
            threshold: THRESHOLD,
        })
    }

    /// Writes a checkpoint folder, new or empty before, that [`Segmenter::load`] reads, and the Python code of
    /// its layout: that of the folder that the model came from, unless `options` name one. It appears whole
    /// or not at all.
    ///
    /// # Errors
    /// [`SegmentError::QuantizedSave`], and those of writing.
    pub fn save(&self, dir: impl AsRef<Path>, options: SaveOptions) -> Result<(), SegmentError> {
        self.save_in(NewFolder::create(dir.as_ref())?, options)
    }

    /// As [`save`](Self::save), in a folder that was begun before.
    pub(crate) fn save_in(
        &self,
        folder: NewFolder,
        options: SaveOptions,
    ) -> Result<(), SegmentError> {
        if self.report.quantization != Quantization::None {
            return Err(SegmentError::QuantizedSave);
        }
        let dir = folder.path();
        let (layout, base) = self.layout(options.layout);
        let options = SaveOptions { layout: Some(layout), ..options };
        save_model(&self.model, &self.config, Some(&base), dir, options)?;
        self.tokenizer.save(dir)?;
        if layout == Layout::Transformers {
            processor::complete(dir, &self.config)?;
        }
        Ok(folder.finish()?)
    }

    /// Whether [`save`](Self::save) can write the model in a layout.
    ///
    /// # Errors
    /// [`SegmentError::Config`] with the key that has no place there.
    pub fn check_layout(&self, layout: Option<Layout>) -> Result<(), SegmentError> {
        let (layout, base) = self.layout(layout);
        let written = layout.config_json(self.config.to_json(Some(&base)));
        let path = self.dir.join("config.json");
        Ok(written.map(drop).map_err(|message| ConfigError { path, message })?)
    }

    /// The layout to save in, and the `config.json` that the model came from, with what it needs.
    fn layout(&self, layout: Option<Layout>) -> (Layout, Value) {
        let base = std::fs::read(self.dir.join("config.json")).ok();
        let base = base.and_then(|text| serde_json::from_slice(&text).ok());
        let mut base = base.filter(Value::is_object).unwrap_or_else(|| self.config.to_json(None));
        let layout = layout.unwrap_or_else(|| Layout::of(&base));
        if layout == Layout::Transformers {
            base["image_token_id"] = self.special.img_context.into();
        }
        (layout, base)
    }

    /// The plain reference path: one pass over a whole conversation, nothing kept or shortened.
    ///
    /// Masks come for every `[SEG]` of the answer, in order. The short path of [`ImageSession`] gives
    /// the same probabilities.
    pub fn forward_plain(
        &self,
        pixels: Tensor<4>,
        prompt: &TokenizedPrompt,
    ) -> (PrefixState, Option<Segmented>) {
        let ids = token_tensor(&[&prompt.input_ids], 0, &self.device.device);
        let segs = prompt.answer_positions(self.special.seg);
        let segs = segs.map(|position| SegToken { row: 0, position, image: 0 });
        self.model.forward(pixels, ids, prompt.image_range.start, &segs.collect::<Vec<_>>())
    }

    /// A conversation as ids. `answer: None` ends it where the assistant begins to speak.
    pub fn tokenize(
        &self,
        question: &str,
        answer: Option<&str>,
    ) -> Result<TokenizedPrompt, SegmentError> {
        let image_tokens = self.config.num_image_tokens();
        Ok(tokenize_conversation(&self.tokenizer, self.template, question, answer, image_tokens)?)
    }

    /// The image as the model sees it.
    ///
    /// # Shapes
    /// - output: `[1, 3, size, size]`, f32, normalised
    pub fn pixels(&self, image: &RgbImage) -> Tensor<4> {
        let size = self.config.image_size;
        let data = TensorData::new(preprocess(image, size), [1, 3, size, size]);
        Tensor::from_data(data, (&self.device.device, DType::F32))
    }

    pub(crate) fn read_back(&self, error: impl std::fmt::Debug) -> SegmentError {
        SegmentError::ReadBack(self.device.id.clone(), format!("{error:?}"))
    }
}
