//! Checkpoints whose files are not on the disk, such as those of a web page.

use std::path::Path;
use std::sync::Arc;

use mllmseg_data::files::FileError;
use mllmseg_data::tokenizer::Tokenizer;
use mllmseg_model::checkpoint::{Files, Folder, LoadOptions, WeightFiles};
use mllmseg_model::quantize::Quantization;
use mllmseg_model::{Mllmseg, MllmsegConfig};

use super::{SegmentError, Segmenter};
use crate::device::{self, SelectedDevice};

/// Where such a checkpoint is loaded to.
#[derive(Debug, Clone)]
pub enum Room {
    /// The CPU; the weights may take so many bytes.
    Cpu(u64),
    /// A GPU; each weight may take so many bytes. It need not be one that is read from synchronously.
    Gpu(SelectedDevice, u64),
}

impl Segmenter {
    /// Loads a checkpoint whose files are not on the disk, in f32; `name` is for messages. On the CPU, its
    /// matrices are kept in as many bits as let them fit.
    ///
    /// # Errors
    /// As [`load`](Self::load), for PyTorch's files and adapters that are not merged, and
    /// [`SegmentError::TooLarge`], [`SegmentError::LargeWeight`] and [`SegmentError::NoMaskDecoder`].
    pub fn from_files(
        name: &Path,
        files: Arc<dyn Files>,
        room: &Room,
    ) -> Result<Self, SegmentError> {
        const MAX_BYTES: u64 = 256 << 20; // of a file beside the weights
        let folder = Folder::Held(name.to_path_buf(), files.clone());
        let config = folder.file("config.json");
        let text = config.text(MAX_BYTES).map_err(FileError::at(config.path()))?;
        let config = MllmsegConfig::from_json(&text, config.path())?;
        let names = files.names();
        let tokenizer = Tokenizer::from_files(name, &|file| {
            let bytes = names.contains(file).then(|| files.read_whole(file, MAX_BYTES));
            Ok(bytes.transpose().map_err(FileError::at(&name.join(file)))?)
        })?;
        let weights = WeightFiles::held(name, files.clone())?;
        let cpu = device::cpu();
        // Parameters are counted by shape: none is drawn.
        let model = Mllmseg::new(&config, None, &cpu.device);
        let (device, options) = match room {
            Room::Cpu(memory) => (&cpu, fitting(name, &model, *memory)?),
            Room::Gpu(device, most) => {
                let options = LoadOptions::default();
                let (name, needed) = (name.to_path_buf(), options.largest_weight(&model));
                if needed > *most {
                    let device = device.id.clone();
                    return Err(SegmentError::LargeWeight { name, device, needed, most: *most });
                }
                if !weights.has_mask_decoder() {
                    return Err(SegmentError::NoMaskDecoder(name));
                }
                (device, options)
            }
        };
        Self::from_parts(config, tokenizer, weights, device, options)
    }
}

/// How a model is kept, so that its weights take at most so many bytes.
fn fitting(name: &Path, model: &Mllmseg, memory: u64) -> Result<LoadOptions, SegmentError> {
    let options = [Quantization::None, Quantization::Bf16, Quantization::Q8]
        .map(|quantization| LoadOptions { quantization, ..Default::default() });
    let bytes = options.map(|options| options.bytes(model));
    let fits = bytes.iter().position(|&bytes| bytes <= memory);
    fits.map(|place| options[place]).ok_or_else(|| {
        let needed = bytes.into_iter().min().unwrap_or(0);
        SegmentError::TooLarge { name: name.to_path_buf(), needed, memory }
    })
}
