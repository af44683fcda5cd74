//! Masks over an image, half transparent with a solid rim, and a legend below.

use image::{GrayImage, Luma, Rgb, RgbImage};
use mllmseg_data::mask::Bitmap;

use super::colours::colour;
use super::item::{OverlayError, OverlayItem, check};
use super::legend::{self, MIN_CANVAS};
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
    draw_overlay_with_remarks(image, items, &[])
}

/// As [`draw_overlay`], with remarks on the whole answer at the end of the legend.
///
/// # Errors
/// As [`draw_overlay`].
pub fn draw_overlay_with_remarks(
    image: &RgbImage,
    items: &[OverlayItem],
    remarks: &[String],
) -> Result<RgbImage, OverlayError> {
    check(image, items)?;
    let factor = (MIN_CANVAS / image.width().max(image.height())).max(1);
    let mut canvas = enlarge(image, factor);
    let shown = items.iter().enumerate().filter(|(_, item)| !item.rejected);
    let masks: Vec<_> =
        shown.filter_map(|(index, item)| Some((item.mask?, colour(index)))).collect();
    paint(&mut canvas, &masks);
    Ok(legend::add_below(canvas, items, remarks))
}

/// A mask as an 8-bit grey image: 0 outside, 255 inside.
pub fn mask_image(mask: &Bitmap) -> GrayImage {
    // No mask has more than 100 megapixels, so no side loses a bit.
    GrayImage::from_fn(mask.width() as u32, mask.height() as u32, |x, y| {
        let inside = mask.get(y as usize, x as usize).unwrap_or(false);
        Luma([if inside { 255 } else { 0 }])
    })
}

/// Paints masks of any size, each stretched over the whole canvas, in their colours.
pub(crate) fn paint(canvas: &mut RgbImage, masks: &[(&Bitmap, Rgb<u8>)]) {
    let (width, height) = canvas.dimensions();
    let stretched = |mask| Stretched { mask, width, height };
    for &(mask, colour) in masks {
        tint(canvas, &stretched(mask), colour);
    }
    // After every tint, so that no mask hides another's rim.
    for &(mask, colour) in masks {
        outline(canvas, &stretched(mask), colour);
    }
}

/// A mask over a canvas of another size.
struct Stretched<'a> {
    mask: &'a Bitmap,
    width: u32,
    height: u32,
}

impl Stretched<'_> {
    /// Whether the mask has the pixel under the middle of a pixel of the canvas.
    fn contains(&self, x: u32, y: u32) -> bool {
        let under = |place: u32, canvas: u32, full: usize| {
            ((2 * u64::from(place) + 1) * full as u64 / (2 * u64::from(canvas))) as usize
        };
        let row = under(y, self.height, self.mask.height());
        let column = under(x, self.width, self.mask.width());
        self.mask.get(row, column).unwrap_or(false)
    }

    /// Whether a pixel at most `reach` steps left, right, above or below of (x, y) is inside the
    /// mask, or outside, as `inside` says.
    fn is_within(&self, reach: u32, x: u32, y: u32, inside: bool) -> bool {
        // What wraps around is far outside.
        let around = |step| {
            let [left, right] = [x.wrapping_sub(step), x + step];
            [(left, y), (right, y), (x, y.wrapping_sub(step)), (x, y + step)]
        };
        (1..=reach).flat_map(around).any(|(x, y)| self.contains(x, y) == inside)
    }
}

fn tint(canvas: &mut RgbImage, mask: &Stretched, Rgb(colour): Rgb<u8>) {
    for (x, y, pixel) in canvas.enumerate_pixels_mut() {
        if mask.contains(x, y) {
            for (level, towards) in pixel.0.iter_mut().zip(colour) {
                *level = level.midpoint(towards);
            }
        }
    }
}

/// Draws the mask's rim in its full colour, 1 to 3 pixels wide by the size of the canvas, and a pale
/// line around it that separates it from things of the same colour.
fn outline(canvas: &mut RgbImage, mask: &Stretched, colour: Rgb<u8>) {
    let short_side = canvas.width().min(canvas.height());
    let reach = (short_side / 160).clamp(1, 3);
    for (x, y, pixel) in canvas.enumerate_pixels_mut() {
        if mask.contains(x, y) {
            if mask.is_within(reach, x, y, false) {
                *pixel = colour;
            }
        } else if mask.is_within(1, x, y, true) {
            pixel.0 = pixel.0.map(|level| level.midpoint(255));
        }
    }
}
