//! Separate adapters are saved with their scale, and read back with it.

use burn::tensor::Device;
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::{LoadOptions, SaveOptions, WeightFiles, load_model, save_model};
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::{Mllmseg, Preset};

#[test]
fn a_trained_adapter_keeps_its_alpha() {
    let device = Device::flex();
    let mut config = Preset::Tiny.config();
    config.use_llm_lora = 3;
    for alpha in [1.0, 3.0, 6.0, 7.5] {
        let dir = tempfile::tempdir().unwrap();
        let lora = LoraConfig { alpha, ..LoraConfig::published(3) };
        let model = Mllmseg::new(&config, Some(lora), &device);
        save_model(&model, &config, None, dir.path(), SaveOptions::default()).unwrap();
        let adapter = WeightFiles::open(dir.path()).unwrap().adapter().unwrap();
        assert_eq!((adapter.lora.rank, adapter.lora.alpha), (3, alpha));
        // The published factor is 2, and published files do not record it.
        assert_eq!(adapter.scale_is_assumed, alpha == 6.0);

        let options = LoadOptions::default();
        let (read, _) = load_model(dir.path(), &mut config.clone(), options, &device).unwrap();
        let again = tempfile::tempdir().unwrap();
        save_model(&read, &config, None, again.path(), SaveOptions::default()).unwrap();
        let [first, second] = [&dir, &again]
            .map(|dir| read_safetensors(&dir.path().join("model.safetensors")).unwrap());
        assert_eq!(first, second);
        let adapter = WeightFiles::open(again.path()).unwrap().adapter().unwrap();
        assert_eq!(adapter.lora.alpha, alpha);
    }
}
