//! What needs the files of images: their sizes, and whether masks fit them.

use std::io;
use std::path::Path;

use rayon::prelude::*;

use super::place::{error_at, line_error};
use crate::image::{ImageError, Orientation, read_size};
use crate::mask::Segmentation;
use crate::refer::{Annotation, Dataset, ImageInfo, MaskSource, ReferError};

/// Fills in the sizes of the images, from their headers on all cores. An image that is not there
/// keeps 0 x 0: it may be one to skip ([`ReferDataset::image_path`](crate::refer::ReferDataset)).
pub(super) fn measure(folder: &Path, images: &mut [ImageInfo]) -> Result<(), ReferError> {
    let orientation = Dataset::Own.orientation();
    let sizes: Vec<Result<(u32, u32), ReferError>> = images
        .par_iter()
        .map(|image| size_of(&folder.join(&*image.file_name), orientation))
        .map(|size| size.map_err(|error| error.to_string()))
        .zip(images.par_iter())
        .map(|(size, image)| size.map_err(|detail| error_at(folder, image.id, detail)))
        .collect();
    for (image, size) in images.iter_mut().zip(sizes) {
        (image.width, image.height) = size?; // the first of the file that fails
    }
    Ok(())
}

fn size_of(path: &Path, orientation: Orientation) -> Result<(u32, u32), ImageError> {
    // What `image_path` calls missing.
    if !path.is_file() {
        return Ok((0, 0));
    }
    match read_size(path, orientation) {
        Err(ImageError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok((0, 0))
        }
        other => other,
    }
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
        MaskSource::Png(file) => read_size(folder.join(&**file), Orientation::Stored)
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
