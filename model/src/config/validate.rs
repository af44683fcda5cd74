//! Sizes that fit each other, in bounds that keep a hostile file from taking all memory.

use super::MllmsegConfig;

impl MllmsegConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let (vision, language, decoder) = (&self.vision, &self.language, &self.mask_decoder);
        for (name, value, most) in [
            ("vision_config.hidden_size", vision.hidden_size, 1 << 16),
            ("vision_config.intermediate_size", vision.intermediate_size, 1 << 18),
            ("vision_config.num_hidden_layers", vision.num_hidden_layers, 1 << 10),
            ("vision_config.num_attention_heads", vision.num_attention_heads, 1 << 10),
            ("vision_config.patch_size", vision.patch_size, 1 << 10),
            ("vision_config.image_size", vision.image_size, 1 << 14),
            ("force_image_size", self.image_size, 1 << 14),
            ("llm_config.vocab_size", language.vocab_size, 1 << 24),
            ("llm_config.hidden_size", language.hidden_size, 1 << 16),
            ("llm_config.intermediate_size", language.intermediate_size, 1 << 18),
            ("llm_config.num_hidden_layers", language.num_hidden_layers, 1 << 10),
            ("llm_config.num_attention_heads", language.num_attention_heads, 1 << 10),
            ("llm_config.num_key_value_heads", language.num_key_value_heads, 1 << 10),
            ("llm_config.max_position_embeddings", language.max_position_embeddings, 1 << 28),
            ("mask_decoder_config.num_attention_heads", decoder.num_attention_heads, 1 << 10),
            ("mask_decoder_config.dysample_groups", decoder.dysample_groups, 1 << 10),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name}: expected 1 to {most}, found {value}"));
            }
        }
        for (name, whole, part_name, part) in [
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                "num_attention_heads",
                vision.num_attention_heads,
            ),
            (
                "llm_config.hidden_size",
                language.hidden_size,
                "2 * num_attention_heads",
                2 * language.num_attention_heads,
            ),
            (
                "llm_config.num_attention_heads",
                language.num_attention_heads,
                "num_key_value_heads",
                language.num_key_value_heads,
            ),
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                "mask decoder heads",
                decoder.num_attention_heads,
            ),
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                "dysample_groups",
                decoder.dysample_groups,
            ),
            ("force_image_size", self.image_size, "patch_size", vision.patch_size),
            ("vision_config.image_size", vision.image_size, "patch_size", vision.patch_size),
        ] {
            if !whole.is_multiple_of(part) {
                return Err(format!(
                    "{name}: expected a multiple of {part_name} = {part}, found {whole}"
                ));
            }
        }
        if !(self.downsample_ratio > 0.0 && self.downsample_ratio <= 1.0) {
            return Err(format!(
                "downsample_ratio: expected 0 to 1, found {}",
                self.downsample_ratio
            ));
        }
        let (side, ratio) = (self.patches_per_side(), self.tokens_per_side_ratio());
        if !side.is_multiple_of(ratio) {
            return Err(format!(
                "force_image_size: {side} patches per side do not divide by {ratio}"
            ));
        }
        if self.use_llm_lora > language.hidden_size {
            return Err(format!(
                "use_llm_lora: expected at most {}, found {}",
                language.hidden_size, self.use_llm_lora
            ));
        }
        self.validate_kinds()
    }

    fn validate_kinds(&self) -> Result<(), String> {
        let vision = &self.vision;
        let layers = vision.num_hidden_layers as i64;
        if self.select_layer > layers || self.select_layer < -layers - 1 {
            return Err(format!(
                "select_layer: expected {} to {layers}, found {}",
                -layers - 1,
                self.select_layer
            ));
        }
        if vision.qk_normalization || vision.norm_type.as_deref().is_some_and(|n| n != "layer_norm")
        {
            return Err("vision_config: expected norm_type layer_norm without qk_normalization (InternViT-300M); InternViT-6B is not supported".into());
        }
        if vision.hidden_act.as_deref().is_some_and(|act| act != "gelu") {
            return Err(format!(
                "vision_config.hidden_act: expected gelu, found {:?}",
                vision.hidden_act
            ));
        }
        for (name, value) in [
            ("llm_config.rope_theta", self.language.rope_theta),
            ("llm_config.rms_norm_eps", self.language.rms_norm_eps),
            ("vision_config.layer_norm_eps", vision.layer_norm_eps),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name}: expected a positive number, found {value}"));
            }
        }
        Ok(())
    }
}
