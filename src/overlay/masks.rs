//! Masks over an image: objects keep their colours, the rest is dimmed; outlines, words, a legend below.

use image::{GrayImage, Luma, Rgb, RgbImage};
use mllmseg_data::mask::Bitmap;

use super::colours::colour;
use super::item::{OverlayError, OverlayItem, check};
use super::label;
use super::legend::{self, MIN_CANVAS};
use super::scale::enlarge;

/// Draws every item's mask over `image` with its words beside it, and a legend below.
///
/// What no mask covers is dimmed. Colours go by position in `items` and repeat, lighter and darker, after
/// the seventh. The image keeps its scale, but one with sides under 640 pixels is enlarged by a whole factor,
/// and the result is at least 640 wide. Without items there is no legend.
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
    let factor = MIN_CANVAS.div_ceil(image.width().max(image.height()));
    let mut canvas = enlarge(image, factor);
    let shown = items.iter().enumerate().filter(|(_, item)| !item.rejected);
    let masks: Vec<_> =
        shown.filter_map(|(index, item)| Some((item.mask?, colour(index)))).collect();
    paint(&mut canvas, &masks);
    label::draw(&mut canvas, factor, items);
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

/// Shows masks of any size, each stretched over the whole canvas: what they cover keeps its colours, the
/// rest is dimmed, and each has an outline in its colour. Without a foreground pixel nothing changes.
pub(crate) fn paint(canvas: &mut RgbImage, masks: &[(&Bitmap, Rgb<u8>)]) {
    let (width, height) = canvas.dimensions();
    let masks: Vec<_> = (masks.iter())
        .map(|&(mask, colour)| (Stretched::new(mask, width, height), colour))
        .filter(|(mask, _)| mask.inside.contains(&true))
        .collect();
    if masks.is_empty() {
        return;
    }
    for (place, pixel) in canvas.pixels_mut().enumerate() {
        if !masks.iter().any(|(mask, _)| mask.inside[place]) {
            pixel.0 = pixel.0.map(|level| (u16::from(level) * 2 / 5) as u8);
        }
    }
    let reach = (width.min(height) / 200).clamp(2, 8) as usize;
    masks.iter().for_each(|(mask, colour)| outline(canvas, mask, *colour, reach));
}

/// A mask over a canvas of another size: each pixel of the canvas is that under its middle.
struct Stretched {
    inside: Vec<bool>,
    width: usize,
    height: usize,
}

impl Stretched {
    fn new(mask: &Bitmap, width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let under =
            |place: usize, canvas: usize, full: usize| (2 * place + 1) * full / (2 * canvas);
        let columns: Vec<_> = (0..width).map(|x| under(x, width, mask.width())).collect();
        let rows = (0..height).map(|y| under(y, height, mask.height()));
        let inside = rows.flat_map(|row| {
            columns.iter().map(move |&column| mask.get(row, column).unwrap_or(false))
        });
        Self { inside: inside.collect(), width, height }
    }
}

/// Draws a line around the mask, `reach` pixels wide: the mask's own pixels stay as they are.
fn outline(canvas: &mut RgbImage, mask: &Stretched, colour: Rgb<u8>, reach: usize) {
    let Stretched { inside, width, height } = mask;
    for y in 0..*height {
        for x in (0..*width).filter(|x| inside[y * width + x]) {
            let beside = |x: usize, y: usize| x < *width && y < *height && !inside[y * width + x];
            // A pixel with foreground on all sides has nothing to draw beside it.
            let (left, up) = (x.wrapping_sub(1), y.wrapping_sub(1));
            if ![(left, y), (x + 1, y), (x, up), (x, y + 1)].iter().any(|&(x, y)| beside(x, y)) {
                continue;
            }
            for row in y.saturating_sub(reach)..(y + reach + 1).min(*height) {
                for column in x.saturating_sub(reach)..(x + reach + 1).min(*width) {
                    let far = row.abs_diff(y).pow(2) + column.abs_diff(x).pow(2);
                    if far <= reach * reach && beside(column, row) {
                        canvas.put_pixel(column as u32, row as u32, colour);
                    }
                }
            }
        }
    }
}
