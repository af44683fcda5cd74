//! The bytes of a training step, part by part, and its peak.

use burn::tensor::{DType, Device};
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::named_weights::for_each_weight;
use mllmseg_model::{Mllmseg, MllmsegConfig};
use mllmseg_train::TrainableSet;

use super::shapes::{self, Sequences};

/// Tokens of the system text and the header before the image, in InternVL2.5's template, and
/// `<img>`.
pub const TOKENS_BEFORE_IMAGE: usize = 45;

/// What one step is given.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Sizes of the model.
    pub config: MllmsegConfig,
    /// Number type of vision encoder, projector and language model.
    pub dtype: DType,
    /// Rank of the adapters.
    pub rank: usize,
    /// Which weights learn: all but [`TrainableSet::Everything`].
    pub trained: TrainableSet,
    /// Images of a batch, one conversation each.
    pub images: usize,
    /// Expressions of each conversation, all with a mask.
    pub expressions: usize,
    /// Tokens of each conversation after the image.
    pub text_tokens: usize,
    /// Height and width of the true masks.
    pub truth: [usize; 2],
    /// Batches of a step, whose gradients are added.
    pub batches: usize,
    /// Whether the layers are recomputed.
    pub recompute: bool,
}

impl Workload {
    /// Tokens of a conversation.
    pub fn length(&self) -> usize {
        TOKENS_BEFORE_IMAGE + self.config.num_image_tokens() + self.text_tokens
    }

    /// Tokens of each answer that are learnt: `the mask of` five words `is [SEG],` for each
    /// expression and a start and an end; no more than half of the text.
    pub fn answer_tokens(&self) -> usize {
        (12 * self.expressions + 6).min(self.text_tokens / 2)
    }

    fn read(&self) -> Sequences {
        Sequences { batch: self.images, length: self.length(), past: 0 }
    }
}

/// Bytes of a step.
#[derive(Debug, Clone)]
pub struct Account {
    /// Each part, by what it is.
    pub parts: Vec<(&'static str, usize)>,
    /// What is in use at the moments when most is, by what the moment is.
    pub moments: Vec<(&'static str, usize)>,
}

impl Account {
    /// Adds a workload up.
    pub fn of(workload: &Workload) -> Self {
        let w = workload;
        let (config, language) = (&w.config, &w.config.language);
        let weights = Weights::of(w);
        let base = w.dtype.size();
        let read = w.read();
        let layer = shapes::language_layer(language, base, w.rank, read);
        let layers = language.num_hidden_layers;
        let held = match w.recompute {
            true => layers * shapes::recomputed_layer(language, base, read),
            false => layers * layer,
        };
        let words = shapes::words(language, read, w.images * w.answer_tokens());
        let images = shapes::decoder_images(config, w.images);
        let asked = w.images * w.expressions;
        let expressions = shapes::decoder_expressions(config, asked, w.truth);
        let inputs = shapes::inputs(config, base, read);
        let top = words + images + expressions;

        let state = weights.total + weights.moments + weights.masters + inputs;
        // While a batch is on its way, the gradients of those before it wait.
        let waiting = if w.batches > 1 { weights.gradients } else { 0 };
        let losses = shapes::losses_workspace(config, asked, w.truth);
        let inside = shapes::layer_workspace(language, base, read);
        let one_layer = if w.recompute { layer } else { 0 };
        let gradients = waiting.max(weights.decoder_gradients);
        let moments = vec![
            ("losses, turning back", state + waiting + held + top + losses),
            ("last layer, on the way back", state + gradients + held + one_layer + inside),
            ("AdamW", state + weights.gradients + weights.update_workspace),
        ];
        let parts = vec![
            ("weights, frozen", weights.total - weights.trained),
            ("weights, trained", weights.trained),
            ("gradients", weights.gradients),
            ("AdamW's means", weights.moments),
            ("AdamW's f32 copies", weights.masters),
            ("pixels, tokens, masks of attention", inputs),
            (if w.recompute { "inputs of the layers" } else { "held by the layers" }, held),
            ("held by one layer", layer),
            ("held by the cross-entropy", words),
            ("held by the decoder, per image", images),
            ("held by the decoder, per expression", expressions),
            ("workspace of the losses", losses),
            ("workspace of a layer", inside),
            ("workspace of AdamW", weights.update_workspace),
        ];
        Self { parts, moments }
    }

    /// The most that is in use at any moment.
    pub fn peak(&self) -> usize {
        self.moments.iter().map(|&(_, bytes)| bytes).max().unwrap_or(0)
    }
}

/// Bytes of the weights and of what training keeps for each.
#[derive(Debug, Default)]
struct Weights {
    total: usize,
    trained: usize,
    gradients: usize,
    decoder_gradients: usize,
    moments: usize,
    masters: usize,
    /// Two f32 copies of the largest weight: its gradient and one value on its way. The rest is
    /// computed in place.
    update_workspace: usize,
}

impl Weights {
    /// From the shapes of a model whose weights are never drawn.
    fn of(workload: &Workload) -> Self {
        let lora = Some(LoraConfig::published(workload.rank));
        let model = Mllmseg::new(&workload.config, lora, &Device::flex());
        let mut weights = Self::default();
        for_each_weight(&model, |path, weight| {
            let count = weight.shape().num_elements();
            let in_decoder = path.starts_with("mask_decoder.");
            let in_f32 = in_decoder || path.contains(".lora.");
            let size = if in_f32 { 4 } else { workload.dtype.size() };
            weights.total += count * size;
            if workload.trained.contains(path) {
                weights.trained += count * size;
                weights.gradients += count * size;
                weights.decoder_gradients += if in_decoder { count * size } else { 0 };
                weights.moments += 2 * count * 4;
                weights.masters += if size == 4 { 0 } else { count * 4 };
                weights.update_workspace = weights.update_workspace.max(2 * count * 4);
            }
        });
        weights
    }
}
