//! The mask decoder alone on random features, with every shape printed: read it beside Figure 3.
//!
//!     cargo run --release --example decoder_shapes

use burn::tensor::activation::relu;
use burn::tensor::{Distribution, Tensor};
use mllmseg::device;
use mllmseg::model::mask_decoder::{MaskDecoder, head::pixel_shuffle};
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Preset, Variant};

fn main() {
    let device = device::cpu().device;
    let mut config = Preset::InternVl2_5_1b.config();
    let (side, l) = (config.patches_per_side(), config.num_image_tokens());
    let (c, d, n) = (config.vision.hidden_size, config.language.hidden_size, 2);
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let t_img1 = random([1, side * side, c]);
    let t_img2 = random([1, l, d]);
    let t_seg = random([n, 1, d]);
    println!("Inputs: one image, {n} expressions");
    show("T_img1, details", &t_img1);
    show("T_img2, semantics", &t_img2);
    show("T_seg0", &t_seg);

    for variant in Variant::ALL {
        config.mask_decoder.variant = variant;
        let decoder = MaskDecoder::new(&config, &device);
        println!("\nVariant {} ({} parameters)", variant.name(), parameter_count(&decoder));

        // Independent of the expressions:
        if let Some(down) = &decoder.img_llm_down {
            show("T_img3, Eq. 5", &down.forward(t_img2.clone()));
        }
        let image = decoder.encode(t_img1.clone(), t_img2.clone());
        if let Some(t_vl) = &image.fusion.t_vl {
            show("T_vl, Eq. 9", t_vl);
        }
        if let Some(t_img4) = &image.fusion.t_img4 {
            show("T_img4, Eq. 12", t_img4);
        }
        show("T_ds0, Eq. 13", &image.fusion.fused);

        // For each expression:
        let t_seg1 = decoder.text_down.forward(t_seg.clone());
        show("T_seg1, Eq. 5", &t_seg1);
        let t_ds1 = decoder.seg_attention.attend_to_one(image.attended.clone(), t_seg1);
        show("T_ds1, Eq. 7", &t_ds1);
        let map = t_ds1.swap_dims(1, 2).reshape([n, c, side, side]);
        let (map, _) = decoder.head.norm.forward(decoder.head.conv1.forward(map), &[n]);
        let map = relu(map);
        show("convolution 3x3, Eq. 8", &map);
        show("pixel shuffle, Eq. 8", &pixel_shuffle(map, config.vision.patch_size));
        let (masks, _) = decoder.segment(&image, &vec![0; n], t_seg.clone());
        show("masks, Eq. 8", &masks);
    }
}

fn show<const D: usize>(name: &str, tensor: &Tensor<D>) {
    println!("  {name:<24}{:?}", tensor.dims());
}
