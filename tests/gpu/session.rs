//! The short path on GPU devices (software ones count) against the plain path on the CPU: cached
//! keys and values, several tokens and single ones, several continuations at once.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use mllmseg::device;
use mllmseg::model::mllmseg::{SegToken, token_tensor};
use mllmseg::model::{Mllmseg, Preset};

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

#[test]
fn cached_reading_equals_the_plain_pass_everywhere() {
    let gpus = super::gpus();
    let config = Preset::Tiny.config();
    let cpu = device::cpu().device;
    let model = Mllmseg::new(&config, None, &cpu);
    let size = config.image_size;
    let normal = Distribution::Normal(0.0, 1.0);
    let pixels = Tensor::<4>::random([1, 3, size, size], normal, &cpu).into_data();
    let prefix: Vec<u32> = (0..(IMAGE_START + config.num_image_tokens() + 1) as u32).collect();
    let rest = [9, 30, 31, 5, 77, 78, 79, 80];
    let whole = [&prefix[..], &rest, &[400]].concat();
    let expected = plain(&model, &pixels, &whole, whole.len() - 1, &cpu);

    let devices = std::iter::once(device::cpu()).chain(gpus);
    for other in devices {
        let model = model.clone().fork(&other.device);
        // A software rasteriser takes half a minute for the kernels of each length.
        let all: &[&[usize]] = match other.id == "cpu" || other.is_hardware_gpu {
            true => &[&[8], &[3, 5], &[1; 8]],
            false => &[&[6, 1, 1]],
        };
        for &parts in all {
            let found = short(&model, &pixels, (&prefix, &rest), parts, &other.device);
            let (same, other_words) = found.split_at(expected.len());
            let (name, largest) = (&other.id, difference(same, &expected));
            println!("{name}, read in parts of {parts:?}: {largest:e}");
            assert!(largest <= 1e-4, "{name}, {parts:?}: {largest}");
            assert!(difference(other_words, &expected) > 1e-3, "{name}: words change nothing");
        }
    }
}
