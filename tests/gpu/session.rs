//! The short path on GPU devices (software ones count) against the plain path on the CPU: cached
//! keys and values, several tokens and single ones, several continuations at once.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use mllmseg::device;
use mllmseg::model::checkpoint::{LoadOptions, load_model};
use mllmseg::model::mllmseg::{SegToken, token_tensor};
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};

const IMAGE_START: usize = 5;

/// Probabilities by the plain pass over the whole conversation.
fn plain(model: &Mllmseg, pixels: &TensorData, ids: &[u32], seg: usize, on: &Device) -> Vec<f32> {
    let pixels = Tensor::from_data(pixels.clone(), on);
    let segs = [SegToken { row: 0, position: seg, image: 0 }];
    let (_, segmented) = model.forward(pixels, token_tensor(&[ids], 0, on), IMAGE_START, &segs);
    segmented.unwrap().masks.into_data().iter().collect()
}

/// Two masks from a cached prefix, the rest read in parts of the given lengths: the first of the
/// same words, the second of others beside them in the batch.
fn short(
    model: &Mllmseg,
    pixels: &TensorData,
    (prefix, rest): (&[u32], &[u32]),
    parts: &[usize],
    on: &Device,
) -> Vec<f32> {
    let pixels = Tensor::from_data(pixels.clone(), on);
    let state = model.encode_prefix(
        model.encode_image(pixels),
        token_tensor(&[prefix], 0, on),
        IMAGE_START,
    );
    let mut cache = state.cache.expand(2);
    let (mut hidden, mut start) = (None, 0);
    for part in parts {
        let ids = &rest[start..start + part];
        let other: Vec<u32> = ids.iter().map(|id| id + 7).collect();
        hidden = Some(model.forward_cached(token_tensor(&[ids, &other], 0, on), &mut cache));
        start += part;
    }
    let hidden = hidden.unwrap(); // [2, t, d] of the last part
    let [_, length, _] = hidden.dims();
    let position = prefix.len() + rest.len();
    let segs = [0, 1].map(|row| SegToken { row, position, image: 0 });
    let masks = model.segment(&state.decoder, &hidden, position - length, &segs).masks;
    masks.into_data().iter().collect()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs()))
}

/// A model, and the lengths of the parts in which the rest is read. A software rasteriser compiles for a minute where
/// heads are wide, and for seconds at each length: it gets one of transformers' cases, whose kernels
/// `parity.rs` needs too.
fn model(is_software: bool, cpu: &Device) -> (Mllmseg, MllmsegConfig, &'static [&'static [usize]]) {
    if is_software {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/native/qwen2");
        let mut config = MllmsegConfig::from_dir(&dir).unwrap();
        let (model, _) = load_model(&dir, &mut config, LoadOptions::default(), cpu).unwrap();
        return (model, config, &[&[6, 1, 1]]);
    }
    let config = Preset::Tiny.config();
    (Mllmseg::new(&config, None, cpu), config, &[&[8], &[3, 5], &[1; 8]])
}

#[test]
fn cached_reading_equals_the_plain_pass_everywhere() {
    let cpu = device::cpu().device;
    for other in super::gpus().into_iter().chain([device::cpu()]) {
        let is_software = other.id != "cpu" && !other.is_hardware_gpu;
        let (model, config, lengths) = model(is_software, &cpu);
        let size = config.image_size;
        let normal = Distribution::Normal(0.0, 1.0);
        let pixels = Tensor::<4>::random([1, 3, size, size], normal, &cpu).into_data();
        let prefix: Vec<u32> = (0..(IMAGE_START + config.num_image_tokens() + 1) as u32).collect();
        let rest = [9, 30, 31, 5, 27, 28, 29, 30];
        let whole = [&prefix[..], &rest, &[40]].concat();
        let expected = plain(&model, &pixels, &whole, whole.len() - 1, &cpu);
        let model = model.fork(&other.device);
        for &parts in lengths {
            let found = short(&model, &pixels, (&prefix, &rest), parts, &other.device);
            let (same, other_words) = found.split_at(expected.len());
            let (name, largest) = (&other.id, difference(same, &expected));
            println!("{name}, read in parts of {parts:?}: {largest:e}");
            assert!(largest <= 1e-4, "{name}, {parts:?}: {largest}");
            assert!(difference(other_words, &expected) > 1e-3, "{name}: words change nothing");
        }
    }
}
