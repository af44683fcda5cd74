//! The mask decoder alone on random features, with every shape printed: for reading beside Figure 3.
//!
//!     cargo run --release --example decoder_shapes

use burn::tensor::{Distribution, Tensor};
use mllmseg::device;
use mllmseg::model::mask_decoder::MaskDecoder;
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Preset, Variant};

fn main() {
    let device = device::cpu().device;
    let mut config = Preset::InternVl2_5_1b.config();
    let (p, l) = (config.patches_per_side().pow(2), config.num_image_tokens());
    let (c, d, n) = (config.vision.hidden_size, config.language.hidden_size, 2);
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let t_img1 = random([1, p, c]);
    let t_img2 = random([1, l, d]);
    let t_seg = random([n, 1, d]);
    println!("T_img1, details       {:?}", t_img1.dims());
    println!("T_img2, semantics     {:?}", t_img2.dims());
    println!("T_seg, {n} expressions  {:?}", t_seg.dims());

    for variant in Variant::ALL {
        config.mask_decoder.variant = variant;
        let decoder = MaskDecoder::new(&config, &device);
        println!("\n{} ({} parameters)", variant.name(), parameter_count(&decoder));
        let image = decoder.encode(t_img1.clone(), t_img2.clone());
        if let Some(t_vl) = &image.fusion.t_vl {
            println!("  T_vl, Eq. 9         {:?}", t_vl.dims());
        }
        if let Some(t_img4) = &image.fusion.t_img4 {
            println!("  T_img4, Eq. 12      {:?}", t_img4.dims());
        }
        println!("  T_ds0, Eq. 13       {:?}", image.fusion.fused.dims());
        let masks = decoder.segment(&image, t_seg.clone());
        println!("  masks, Eq. 7 and 8  {:?}", masks.dims());
    }
}
