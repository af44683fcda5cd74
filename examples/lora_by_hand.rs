//! LoRA by hand: `x W + s (x A) B` on numbers that fit on a page, and then folded into `W`.
//!
//!     cargo run --release --example lora_by_hand

use std::error::Error;

use burn::module::Param;
use burn::tensor::Tensor;
use mllmseg::device;
use mllmseg::model::lora::{LoraConfig, LoraLinear};
use mllmseg::model::parameters::parameter_count;

const W: [[f32; 3]; 2] = [[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]; // [in, out], frozen
const A: [[f32; 1]; 2] = [[1.0], [2.0]]; // [in, r]
const B: [[f32; 3]; 1] = [[10.0, 0.0, -10.0]]; // [r, out], zero before training
const LORA: LoraConfig = LoraConfig { rank: 1, alpha: 2.0, dropout: 0.0 };
const X: [f32; 2] = [3.0, 1.0];

/// A row times a matrix.
fn times<const I: usize, const O: usize>(x: [f32; I], matrix: [[f32; O]; I]) -> [f32; O] {
    std::array::from_fn(|column| (0..I).map(|row| x[row] * matrix[row][column]).sum())
}

/// The layer's output for `X`.
fn forward(layer: &LoraLinear) -> Result<Vec<f32>, Box<dyn Error>> {
    let x = Tensor::<3>::from_data([[X]], &layer.weight.device()); // [1, 1, in]
    Ok(layer.forward(x).try_into_data()?.iter::<f32>().collect()) // [out]
}

fn main() -> Result<(), Box<dyn Error>> {
    let s = (LORA.alpha / LORA.rank as f64) as f32;
    let (base, low) = (times(X, W), times(X, A));
    let update = times(low, B).map(|value| s * value);
    let by_hand: Vec<f32> = base.iter().zip(update).map(|(base, update)| base + update).collect();
    println!("x W          = {base:?}");
    println!("x A          = {low:?}   one number: the rank is 1");
    println!("s (x A) B    = {update:?}   s = alpha / r = {s}");
    println!("by hand      = {by_hand:?}");

    let device = device::cpu().device;
    let mut layer = LoraLinear::new([2, 3], false, Some(LORA), &device);
    layer.weight = Param::from_data(W, &device);
    let adapter = layer.lora.as_mut().ok_or("the layer was made with an adapter")?;
    adapter.a = Param::from_data(A, &device);
    adapter.b = Param::from_data(B, &device);
    println!("the layer    = {:?}", forward(&layer)?);

    let counts = (parameter_count(&layer), parameter_count(&layer.lora));
    let update = A.map(|row| times(row, B).map(|value| s * value)); // s A B
    let weight = layer.weight.val() + Tensor::from_data(update, &device);
    let mut merged = LoraLinear::new([2, 3], false, None, &device);
    merged.weight = Param::from_tensor(weight.clone());
    println!("merged       = {:?}", forward(&merged)?);
    println!("merged W     = {:?}", weight.try_into_data()?.iter::<f32>().collect::<Vec<_>>());
    println!(
        "{} numbers, {} of them trained; merged {}",
        counts.0,
        counts.1,
        parameter_count(&merged)
    );

    // A layer of InternLM2.5-7B with the published rank.
    let lora = Some(LoraConfig::published(64));
    let large = LoraLinear::new([4096, 4096], false, lora, &device);
    let (all, trained) = (parameter_count(&large), parameter_count(&large.lora));
    println!("4096 x 4096 of rank 64: {} frozen, {trained} trained", all - trained);
    Ok(())
}
