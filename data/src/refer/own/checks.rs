//! What needs the files of images: their sizes, and whether masks fit them.

use std::path::Path;

use rayon::prelude::*;

use super::place::{error_at, line_error};
use crate::image::{Orientation, read_size};
use crate::mask::Segmentation;
use crate::refer::{Annotation, Dataset, ImageInfo, MaskSource, ReferError};

/// Fills in the sizes of the images, from their headers on all cores. An image that is not there
/// keeps 0 x 0: it may be one to skip ([`ReferDataset::image_path`](crate::refer::ReferDataset)).
pub(super) fn measure(folder: &Path, images: &mut [ImageInfo]) -> Result<(), ReferError> {
    let measure = |image: &mut ImageInfo| {
        let path = folder.join(&*image.file_name);
        if path.is_file() {
            let size = read_size(path, Dataset::Own.orientation())
                .map_err(|error| error_at(folder, image.id, error.to_string()))?;
            (image.width, image.height) = size;
        }
        Ok(())
    };
    let measured: Vec<_> = images.par_iter_mut().map(measure).collect();
    measured.into_iter().collect() // the first of the file that fails
}

/// Compares masks with the sizes of their images; of a PNG only the header is read. So a mask that
/// does not fit stops a training run before it begins.
pub(super) fn check_masks(
    folder: &Path,
    images: &[ImageInfo],
    annotations: &[Annotation],
) -> Result<(), ReferError> {
    let check = |annotation: &Annotation| {
        let index = images.binary_search_by_key(&annotation.image_id, |image| image.id);
        match index.ok().and_then(|index| images.get(index)) {
            Some(image) if image.width > 0 => fits(folder, image, &annotation.segmentation)
                .map_err(|detail| line_error(folder, annotation, detail)),
            _ => Ok(()),
        }
    };
    let checked: Vec<Result<(), ReferError>> = annotations.par_iter().map(check).collect();
    checked.into_iter().collect()
}

fn fits(folder: &Path, image: &ImageInfo, mask: &MaskSource) -> Result<(), String> {
    let expected = (image.width, image.height);
    let found = match mask {
        MaskSource::Inline(Segmentation::Polygons(_)) => return Ok(()),
        MaskSource::Inline(Segmentation::Rles(encodings)) => {
            let mut sizes = encodings.iter().map(|encoding| (encoding.size[1], encoding.size[0]));
            sizes.find(|size| *size != expected).unwrap_or(expected)
        }
        MaskSource::Png { file, .. } => read_size(folder.join(&**file), Orientation::Stored)
            .map_err(|error| format!("`mask`: {error}"))?,
    };
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "`mask` is {}x{}, but its image {} is {}x{} (width x height)",
        found.0, found.1, image.file_name, expected.0, expected.1
    ))
}
