//! What a training step holds, computed from shapes.
//!
//! Each function counts, operation by operation, the tensors that the graph keeps for the way back
//! (`tests/memory.rs` holds them against an allocator that counts). `base` is the number of bytes of
//! a value of the language model; adapters and mask decoder are f32. Truth values take one byte, as
//! they do on the CPU and with CUDA.

use mllmseg_model::config::{Architecture, LanguageConfig, MllmsegConfig};

/// Bytes of an f32.
const F32: usize = 4;
/// Bytes of a truth value.
const BOOL: usize = 1;

/// Positions that go through a layer together: `batch` sequences of `length` after `past`.
#[derive(Debug, Clone, Copy)]
pub struct Sequences {
    /// How many.
    pub batch: usize,
    /// Positions of each that are read.
    pub length: usize,
    /// Positions before them, already read.
    pub past: usize,
}

impl Sequences {
    /// Positions that are read.
    pub fn rows(&self) -> usize {
        self.batch * self.length
    }
}

/// Sizes of the linear layers that have adapters, input and output.
pub fn adapted_linears(config: &LanguageConfig) -> Vec<(usize, usize)> {
    let (width, mlp) = (config.hidden_size, config.intermediate_size);
    let keys = width / config.num_attention_heads * config.num_key_value_heads;
    let mut linears = match config.architecture {
        Architecture::InternLm2 => vec![(width, width + 2 * keys)],
        Architecture::Qwen2 => vec![(width, width), (width, keys), (width, keys)],
    };
    linears.extend([(width, width), (width, mlp), (width, mlp), (mlp, width)]);
    linears
}

/// What the graph of one layer holds, with frozen weights and adapters of rank `rank` that drop.
pub fn language_layer(config: &LanguageConfig, base: usize, rank: usize, read: Sequences) -> usize {
    let (width, mlp, rows) = (config.hidden_size, config.intermediate_size, read.rows());
    let positions = read.past + read.length;
    let keys = width / config.num_attention_heads * config.num_key_value_heads;
    // Each of the two norms: its input in f32, the mean square and the root.
    let norms = 2 * rows * (width + 2) * F32;
    // Each adapter: what is left of its input, what was dropped, and the low-rank product.
    let adapters = adapted_linears(config).into_iter().map(|(from, to)| {
        let casts = if base == F32 { 0 } else { rank * (from + to) * base };
        rows * (from * (base + BOOL) + rank * base) + casts
    });
    let query_key_value = (rows * width + 2 * read.batch * positions * keys) * base;
    let weights = read.batch * config.num_attention_heads * read.length * positions * base;
    // The derivatives of SwiGLU by its two inputs.
    let swiglu = 2 * rows * mlp * base;
    norms + adapters.sum::<usize>() + query_key_value + weights + swiglu
}

/// What is held of a layer that is recomputed: its input, and the numbers its dropout is made of.
pub fn recomputed_layer(config: &LanguageConfig, base: usize, read: Sequences) -> usize {
    let (width, mlp) = (config.hidden_size, config.intermediate_size);
    read.rows() * width * base + (read.rows() + 7 * width.max(mlp)) * 4
}

/// What the final norm holds, and the cross-entropy of `counted` tokens.
pub fn words(config: &LanguageConfig, read: Sequences, counted: usize) -> usize {
    let norm = read.rows() * (config.hidden_size + 2) * F32;
    // Scores less their maximum, and the sums of their exponentials.
    norm + counted * (config.vocab_size + 2) * F32
}

/// What the part of the mask decoder holds that is computed once for each of `images`.
pub fn decoder_images(config: &MllmsegConfig, images: usize) -> usize {
    let (patches, tokens) = (config.patches_per_side().pow(2), config.num_image_tokens());
    let (width, heads) = (config.vision.hidden_size, config.mask_decoder.num_attention_heads);
    // Attention weights before and after some are dropped, and which.
    let attend = |keys: usize| heads * patches * keys * (2 * F32 + BOOL);
    // norm1(x + drop(self_attention(x))): x, queries, keys, values, the heads' outputs.
    let to_self = patches * width * (5 * F32 + BOOL + LAYER_NORM) + attend(patches);
    // norm2(x + drop(cross_attention(x, memory))): x, queries, the heads' outputs; of the memory
    // itself, keys, values.
    let to_semantics =
        patches * width * (3 * F32 + BOOL + LAYER_NORM) + tokens * width * 3 * F32 + attend(tokens);
    let down = tokens * config.language.hidden_size * F32;
    let adapter = 3 * patches * width * F32;
    let image = down
        + 2 * to_self
        + to_semantics
        + feed_forward(patches, width)
        + adapter
        + dysample(config);
    // Queries', keys' and values' parts of two packed weights.
    images * image + 6 * width * width * F32
}

/// The input less its mean, and the same divided by its deviation.
const LAYER_NORM: usize = 2 * F32;

/// The rest of a post-norm layer: inputs of two linear layers and of ReLU, two masks, two norms.
fn feed_forward(patches: usize, width: usize) -> usize {
    patches * width * (3 * F32 + 2 * BOOL + 2 * LAYER_NORM)
}

/// DySample: its input, the four neighbours of every sample, and about sixteen numbers for the
/// position of each in each group of channels.
fn dysample(config: &MllmsegConfig) -> usize {
    let (patches, tokens) = (config.patches_per_side().pow(2), config.num_image_tokens());
    let neighbours = (tokens + 4 * patches) * config.vision.hidden_size * F32;
    neighbours + 16 * config.mask_decoder.dysample_groups * patches * F32
}

/// Maps of the size of a true mask that the losses of one hold.
const LOSS_MAPS: usize = 9;

/// What the mask decoder holds for each of `expressions`, and their losses at the size of the
/// true masks, `[h, w]`.
pub fn decoder_expressions(config: &MllmsegConfig, expressions: usize, truth: [usize; 2]) -> usize {
    let patches = config.patches_per_side().pow(2);
    let (width, pixels) = (config.vision.hidden_size, config.mask_size().pow(2));
    // The heads' outputs and norm2(x + drop(.)).
    let attended = patches * width * (F32 + BOOL + LAYER_NORM);
    // Inputs of: first convolution, batch norm, ReLU, second convolution, sigmoid.
    let head = patches * width * F32 + 4 * pixels * F32;
    let loss = truth[0] * truth[1] * LOSS_MAPS * F32;
    expressions * (attended + feed_forward(patches, width) + head + loss)
}

/// What is there from the start: pixels, T_img1 in both number types, its projection, the tokens'
/// embeddings, and the causal mask.
pub fn inputs(config: &MllmsegConfig, base: usize, read: Sequences) -> usize {
    let pixels = read.batch * 3 * config.image_size.pow(2) * F32;
    let patches = config.patches_per_side().pow(2) * config.vision.hidden_size * base;
    let width = config.language.hidden_size;
    let projected = config.num_image_tokens() * width * base;
    let group = config.language.num_attention_heads / config.language.num_key_value_heads;
    let mask = group * read.length * (read.past + read.length) * BOOL;
    pixels + read.batch * (patches + projected) + read.rows() * width * base + mask
}

/// What the losses of masks and the mask head need for a while on their way back: some three maps.
pub fn losses_workspace(config: &MllmsegConfig, expressions: usize, truth: [usize; 2]) -> usize {
    let features = config.patches_per_side().pow(2) * config.vision.hidden_size;
    expressions * 3 * features.max(truth[0] * truth[1]) * F32
}

/// What a layer needs for a while on its way back, before it has let go of what it holds.
pub fn layer_workspace(config: &LanguageConfig, base: usize, read: Sequences) -> usize {
    let weights = config.num_attention_heads * (read.past + read.length);
    5 * read.rows() * config.intermediate_size.max(weights) * base / 2
}
