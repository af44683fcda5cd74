//! Images at other sizes.

use image::{RgbImage, imageops};
use mllmseg_data::image::resize_rgb;

/// The image at a whole multiple of its size.
pub(super) fn enlarge(image: &RgbImage, factor: u32) -> RgbImage {
    match factor {
        1 => image.clone(),
        _ => {
            let (width, height) = image.dimensions();
            imageops::resize(image, width * factor, height * factor, imageops::FilterType::Nearest)
        }
    }
}

/// The image with sides of at most `longest` pixels.
pub(crate) fn shrink(image: &RgbImage, longest: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= longest {
        return image.clone();
    }
    let scaled =
        |side: u32| (u64::from(side) * u64::from(longest) / u64::from(longer)).max(1) as u32;
    resize_rgb(image, scaled(width), scaled(height))
}
