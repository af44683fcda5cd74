//! A reference: what another implementation computed for one picture, as `examples/reference/dump.py` writes
//! it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use image::RgbImage;
use mllmseg_model::checkpoint::CheckpointError;
use mllmseg_model::checkpoint::safetensors::{read_metadata, read_safetensors};
use thiserror::Error;

/// The largest file that is read; that of an 8B model and a photograph has under 100 MB.
const MAX_BYTES: u64 = 512 << 20;

/// Pillow from this version on resizes in another order than the weights were trained with.
const OTHER_PILLOW: u32 = 13;

/// Why a reference cannot be used.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum ReferenceError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// It is no reference.
    #[error("{path}: {message}; write it by examples/reference/dump.py")]
    Unusable { path: PathBuf, message: String },
}

/// The picture, the conversation and the stages of a reference.
#[derive(Debug)]
pub struct Reference {
    /// The picture.
    pub image: RgbImage,
    /// What was asked, with `<image>`.
    pub question: String,
    /// What was answered, with `[SEG]`; a base answers nothing.
    pub answer: Option<String>,
    /// What wrote it, such as "published, Pillow 11.3.0, torch 2.5.1".
    pub origin: String,
    /// Its dtype as PyTorch names it.
    pub dtype: String,
    /// Arrays by the names of [`compute_stages`](super::stages::compute_stages).
    pub stages: BTreeMap<String, TensorData>,
    pillow: String,
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn read(path: &Path) -> Result<Self, ReferenceError> {
        let unusable = |message| ReferenceError::Unusable { path: path.to_path_buf(), message };
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        if length > MAX_BYTES {
            return Err(unusable(format!("expected at most {MAX_BYTES} bytes, found {length}")));
        }
        let mut metadata = read_metadata(path)?;
        match metadata.get("mllmseg_reference").map(String::as_str) {
            Some("1") => {}
            found => {
                let message = format!("expected a reference of version 1, found {found:?}");
                return Err(unusable(message));
            }
        }
        let mut required = |key: &str| {
            metadata
                .remove(key)
                .ok_or_else(|| unusable(format!("expected metadata `{key}`, found none")))
        };
        let (question, dtype) = (required("question")?, required("dtype")?);
        let (source, pillow) = (required("source")?, required("pillow")?);
        let mut stages = read_safetensors(path)?;
        let image = stages.remove("image").as_ref().and_then(as_image);
        let image =
            image.ok_or_else(|| unusable("expected `image`, u8 [height, width, 3]".into()))?;
        let answer = metadata.remove("answer");
        let versions =
            metadata.iter().filter(|(key, _)| ["torch", "transformers"].contains(&&***key));
        let versions: String =
            versions.map(|(name, version)| format!(", {name} {version}")).collect();
        let origin = format!("{source}, Pillow {pillow}{versions}");
        Ok(Self { image, question, answer, origin, dtype, stages, pillow })
    }

    /// Whether it was computed in f32, so that differences are not those of rounding.
    pub fn is_f32(&self) -> bool {
        self.dtype == "float32"
    }

    /// Why the picture's pixels may differ from those that the weights were trained with.
    pub fn pillow_caution(&self) -> Option<String> {
        let version = &self.pillow;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        (major >= OTHER_PILLOW).then(|| {
            format!(
                "Pillow {version} resizes in another order than the weights were trained with, and every \
                 stage follows; write the reference again with pillow<{OTHER_PILLOW}"
            )
        })
    }
}

fn as_image(array: &TensorData) -> Option<RgbImage> {
    let &[height, width, 3] = array.shape().as_slice() else { return None };
    let is_image = array.dtype() == DType::U8 && height > 0 && width > 0;
    let [width, height] = [u32::try_from(width).ok()?, u32::try_from(height).ok()?];
    is_image.then(|| RgbImage::from_raw(width, height, array.as_bytes().to_vec())).flatten()
}
