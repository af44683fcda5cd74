//! Masks over the original image, with a legend below.

use image::{GrayImage, Luma, RgbImage};
use mllmseg_data::mask::Bitmap;

use super::colours::colour;
use super::item::{OverlayError, OverlayItem, check};
use super::legend::{self, MIN_CANVAS};
use super::paint::paint;
use super::scale::enlarge;

/// Draws every item's mask over `image`, half transparent with a solid contour, and a legend below.
///
/// Colours go by position in `items` and repeat, lighter and darker, after the seventh. The image keeps its scale, but
/// one smaller than 320 x 320 pixels is enlarged by a whole factor, and the result is at least 320 wide. Without items
/// there is no legend.
///
/// # Errors
/// [`OverlayError::NoPixels`] for an empty image, [`OverlayError::MaskSize`] for a mask of another size.
pub fn draw_overlay(image: &RgbImage, items: &[OverlayItem]) -> Result<RgbImage, OverlayError> {
    check(image, items)?;
    let factor = (MIN_CANVAS / image.width().max(image.height())).max(1);
    let mut canvas = enlarge(image, factor);
    let shown = items.iter().enumerate().filter(|(_, item)| !item.rejected);
    let masks: Vec<_> =
        shown.filter_map(|(index, item)| Some((item.mask?, colour(index)))).collect();
    paint(&mut canvas, &masks);
    Ok(legend::add_below(canvas, items))
}

/// A mask as an 8-bit grey image: 0 outside, 255 inside.
pub fn mask_image(mask: &Bitmap) -> GrayImage {
    // No mask has more than 100 megapixels, so no side loses a bit.
    GrayImage::from_fn(mask.width() as u32, mask.height() as u32, |x, y| {
        let inside = mask.get(y as usize, x as usize).unwrap_or(false);
        Luma([if inside { 255 } else { 0 }])
    })
}
