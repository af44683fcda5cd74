//! README's table of presets, whose counts come from a formula outside of this code.

use burn::tensor::Device;
use mllmseg_model::config::Architecture;
use mllmseg_model::parameters::parameter_count;
use mllmseg_model::{Mllmseg, Preset};

#[test]
fn the_readme_counts_the_parameters_of_every_base() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let row = |name: &str| readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    for preset in Preset::ALL.into_iter().filter(|preset| *preset != Preset::Tiny) {
        let config = preset.config();
        let kind = match config.language.architecture {
            Architecture::InternLm2 => "InternLM2",
            Architecture::Qwen2 => "Qwen2",
            Architecture::Qwen3 => "Qwen3",
        };
        let model = Mllmseg::new(&config, None, &Device::flex()); // nothing is drawn before it is used
        let counts = [parameter_count(&model.language_model), parameter_count(&model)];
        let cells: Vec<_> = row(preset.name()).unwrap().split('|').map(str::trim).collect();
        assert_eq!(cells[2], kind, "{preset:?}");
        let written =
            [cells[3], cells[4]].map(|cell| cell.replace(',', "").parse::<usize>().unwrap());
        assert_eq!(counts, written, "{preset:?}");
    }
}
