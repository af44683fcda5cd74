//! Fragments of checkpoints, recipes and predictions; [`super::fragments`] says how they are chosen.

pub const CONFIG: &[&str] = &[
    include_str!("../../assets/tiny/config.json"), "{", "\"llm_config\":{", "\"vision_config\":{", "},",
    "\"hidden_size\":", "\"num_attention_heads\":", "\"num_key_value_heads\":", "\"num_hidden_layers\":",
    "\"intermediate_size\":", "\"rope_theta\":", "\"rope_scaling\":", "\"rope_parameters\":{", "\"vocab_size\":",
    "\"rms_norm_eps\":", "\"architectures\":[\"Qwen2ForCausalLM\"],", "\"image_size\":", "\"patch_size\":",
    "\"downsample_ratio\":", "\"ps_version\":\"v2\",", "\"template\":\"internvl2_5\",", "\"use_llm_lora\":",
    "\"tie_word_embeddings\":", "\"quantization_config\":", "\"hidden_act\":\"silu\",", "\"force_image_size\":",
];
pub const INDEX: &[&str] = &[
    "{\"weight_map\":{", "\"a.weight\":\"a.safetensors\"", "\"a.safetensors\"", "\"b.safetensors\"",
    "\"../a.safetensors\"", "\"metadata\":{\"total_size\":", "}}", "},",
];
pub const SAFETENSORS: &[u8] =
    b"\x40\0\0\0\0\0\0\0{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}   \0\0\x80\x3f";
pub const SAFETENSORS_HEADER: &[&str] = &[
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", "\"__metadata__\":{", "\"dtype\":",
    "\"F32\"", "\"BF16\"", "\"F16\"", "\"U8\"", "\"F8_E4M3\"", "\"shape\":[", "\"data_offsets\":[",
    "4", "8", "9223372036854775807", "},",
];
pub const RECIPE: &[&str] = &[
    include_str!("../../train/recipes/tiny.toml"), "[data]\n", "[batch]\n", "[optimizer]\n", "[trained]\n",
    "[loss]\n", "[snapshots]\n", "[validation]\n", "steps = ", "seed = ", "learning_rate = ", "mix = [", "\n",
];
pub const PREDICTIONS: &[&str] = &[
    "{\"ref_id\":1,\"sent_id\":1,\"segmentation\":", "{\"size\":[8,8],\"counts\":[10,5,49]}",
    "{\"size\":[8,8],\"counts\":\"0@\"}", ",\"rejected\":", ",\"score\":", ",\"mllmseg\":{", "}\n", "},",
    "[", "]", "\"size\":", "\"counts\":", "\"ref_id\":", "\"sent_id\":",
];
pub const STATE: &[&str] = &[
    "{\"step\":3,\"best\":null,\"updates\":{},\"batch_norm\":", "{\"step\":", ",\"best\":",
    "{\"step\":1,\"ciou\":2.5}", ",\"updates\":{", "\"res_decoder.conv1.1.weight\":", "\"res_decoder.text_down.weight\":",
    ",\"batch_norm\":", "{\"running_mean\":[", "],\"running_var\":[", "],\"num_batches_tracked\":", "4294967296", "}",
];
