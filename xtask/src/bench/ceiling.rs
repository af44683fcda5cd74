//! What the machine can do: a large product and a large copy.

use std::error::Error;

use burn::module::Module;
use burn::tensor::{DType, Distribution, Tensor};
use mllmseg_model::lora::LoraLinear;
use rayon::prelude::*;

use super::clock::Parts;
use super::cost::Ceiling;
use super::rounds::Rounds;
use super::setting::Setting;

/// How often each is done in a round.
const TIMES: usize = 4;

/// Rows and columns of the product's matrices.
pub fn product_size(setting: &Setting) -> usize {
    if setting.device.id == "cpu" { 2048 } else { 8192 }
}

/// Bytes that a copy reads, and as many that it writes: more than caches hold.
pub const COPIED: usize = 256 << 20;

/// A layer and its input, and two buffers.
pub struct CeilingWork {
    setting: Setting,
    layer: LoraLinear,
    input: Tensor<3>,
    buffers: Buffers,
}

enum Buffers {
    OfHost(Vec<u64>, Vec<u64>),
    OfDevice(Tensor<1>),
}

impl CeilingWork {
    pub fn new(setting: &Setting) -> Self {
        let (size, device) = (product_size(setting), &setting.device.device);
        let layer = LoraLinear::new([size; 2], false, None, device).no_grad();
        let cast = layer.weight.clone().map(|weight| weight.cast(setting.dtype));
        let input = Tensor::<3>::random([1, size, size], Distribution::Default, device);
        let count = COPIED / size_of::<u64>();
        let buffers = match setting.device.id.as_str() {
            "cpu" => Buffers::OfHost(vec![1; count], vec![0; count]),
            _ => Buffers::OfDevice(Tensor::ones([COPIED / 4], (device, DType::F32))),
        };
        Self {
            setting: setting.clone(),
            layer: LoraLinear { weight: cast, ..layer },
            input: input.cast(setting.dtype),
            buffers,
        }
    }
}

impl Rounds for CeilingWork {
    fn round(&mut self) -> Result<Parts, Box<dyn Error>> {
        let Self { setting: Setting { clock, .. }, layer, input, buffers } = self;
        let mut parts = Parts::new();
        clock.time(&mut parts, "product", || {
            (0..TIMES).for_each(|_| wait(layer.forward(input.clone()).flatten(0, 2)));
        });
        clock.time(&mut parts, "copy", || {
            for _ in 0..TIMES {
                match buffers {
                    Buffers::OfHost(from, to) => copy(from, to),
                    Buffers::OfDevice(x) => wait(x.clone().neg()),
                }
            }
        });
        Ok(parts)
    }
}

/// One value is read back, since devices compute in the background.
fn wait(x: Tensor<1>) {
    let _ = x.narrow(0, 0, 1).into_data();
}

/// By all threads.
fn copy(from: &[u64], to: &mut [u64]) {
    let part = from.len().div_ceil(rayon::current_num_threads());
    let parts = from.par_chunks(part).zip(to.par_chunks_mut(part));
    parts.for_each(|(from, to)| to.copy_from_slice(from));
}

/// From the seconds of some rounds, of this program and of PyTorch: the best counts.
pub fn ceiling<'a>(rounds: impl Iterator<Item = &'a Parts> + Clone, size: usize) -> Ceiling {
    let rate = |part: &str, amount: f64| {
        let seconds = rounds.clone().filter_map(|parts| parts.get(part).copied());
        TIMES as f64 * amount / seconds.fold(f64::INFINITY, f64::min)
    };
    Ceiling {
        operations_per_second: rate("product", 2.0 * (size as f64).powi(3)),
        bytes_per_second: rate("copy", 2.0 * COPIED as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 products of 16 by 16 in 2 s: 4 * 2 * 16^3 / 2; 4 copies of 256 MiB in 1 s.
    #[test]
    fn the_best_round_counts() {
        let parts =
            |product, copy| Parts::from([("product".into(), product), ("copy".into(), copy)]);
        let found = ceiling([parts(2.0, 9.0), parts(3.0, 1.0)].iter(), 16);
        assert_eq!(found.operations_per_second, 16_384.0);
        assert_eq!(found.bytes_per_second, 2_147_483_648.0);
    }
}
