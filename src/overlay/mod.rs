//! Pictures for people: masks laid over the original, with a legend below; the paper's Figure 4; and PNG files that are
//! never half written.

mod figure;
mod heat;
mod legend;
mod png;
mod text;

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};

pub use figure::{HeatMap, draw_figure};
pub use png::{PngError, write_png_atomic};

/// Narrowest overlay in pixels; tiny pictures are enlarged towards it so that there is something to see.
const MIN_CANVAS: u32 = 320;

/// Okabe and Ito's colours for people of all kinds of colour vision, without black; blue first, since
/// skin, fur, food and wood are near orange.
const PALETTE: [[u8; 3]; 7] = [
    [86, 180, 233],  // sky blue
    [230, 159, 0],   // orange
    [204, 121, 167], // reddish purple
    [0, 158, 115],   // bluish green
    [240, 228, 66],  // yellow
    [213, 94, 0],    // vermilion
    [0, 114, 178],   // blue
];

/// One expression and what the model answered.
#[derive(Clone, Copy, Debug)]
pub struct OverlayItem<'a> {
    /// The expression, as the legend shows it.
    pub caption: &'a str,
    /// Its mask, `height * width` values in row-major order at the picture's size; anything but 0 is inside.
    pub mask: Option<&'a [u8]>,
    /// Whether the model answered that nothing in the picture fits; then the mask is not drawn.
    pub rejected: bool,
}

/// Why an overlay or a mask picture could not be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverlayError {
    /// The picture has a width or height of zero.
    #[error(
        "the picture is {width} x {height}, so there is nothing to draw on; check how it was read"
    )]
    NoPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A mask is not of the picture's size.
    #[error(
        "the mask of {caption:?} has {found} values, but the picture is {width} x {height}; resize the mask to the \
         original picture first"
    )]
    MaskSize {
        /// The expression; empty for a mask by itself.
        caption: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Number of values in the mask.
        found: usize,
    },
    /// A heat map is not square.
    #[error(
        "the heat map {title:?} has {found} values; expected rows of a square, such as 32 x 32"
    )]
    MapSize {
        /// Its title.
        title: String,
        /// Number of values.
        found: usize,
    },
}

/// Draws every item's mask over `image`, half transparent with a solid contour, and a legend below the picture.
///
/// Colours go by position in `items` and repeat, lighter and darker, after the seventh. The picture keeps its scale, but
/// one smaller than 320 x 320 pixels is enlarged by a whole factor, and the result is at least 320 wide. Without items
/// there is no legend.
///
/// # Errors
/// [`OverlayError::NoPixels`] for an empty picture, [`OverlayError::MaskSize`] for a mask of another size.
pub fn draw_overlay(image: &RgbImage, items: &[OverlayItem]) -> Result<RgbImage, OverlayError> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(OverlayError::NoPixels { width, height });
    }
    for item in items {
        if let Some(mask) = item.mask {
            check_mask(mask, width, height, item.caption)?;
        }
    }
    let factor = (MIN_CANVAS / width.max(height)).max(1);
    let mut picture = enlarge(image, factor);
    let masks = || {
        items.iter().enumerate().filter_map(|(index, item)| {
            let values = item.mask.filter(|_| !item.rejected)?;
            let mask = Mask { values, width: width as usize, factor: factor as usize };
            Some((mask, colour(index)))
        })
    };
    for (mask, colour) in masks() {
        tint(&mut picture, &mask, colour);
    }
    // After every tint, so that no mask hides another's outline.
    for (mask, colour) in masks() {
        outline(&mut picture, &mask, colour);
    }
    Ok(legend::add_below(picture, items))
}

/// A mask as an 8-bit grey picture: 0 outside, 255 inside. `mask` holds `height * width` values in row-major order;
/// anything but 0 is inside.
///
/// # Errors
/// [`OverlayError::MaskSize`] if there are more or fewer values than pixels.
pub fn mask_png(mask: &[u8], width: u32, height: u32) -> Result<GrayImage, OverlayError> {
    check_mask(mask, width, height, "")?;
    Ok(GrayImage::from_fn(width, height, |x, y| {
        let inside = mask[y as usize * width as usize + x as usize] != 0;
        Luma([if inside { 255 } else { 0 }])
    }))
}

fn check_mask(mask: &[u8], width: u32, height: u32, caption: &str) -> Result<(), OverlayError> {
    if mask.len() as u64 == u64::from(width) * u64::from(height) {
        return Ok(());
    }
    Err(OverlayError::MaskSize { caption: caption.into(), width, height, found: mask.len() })
}

/// The colour of the item at `index`: the palette, then a lighter and a darker round of it.
fn colour(index: usize) -> Rgb<u8> {
    let base = PALETTE[index % PALETTE.len()].map(u16::from);
    Rgb(match index / PALETTE.len() % 3 {
        0 => base,
        1 => base.map(|level| (level + 255) / 2),
        _ => base.map(|level| level * 3 / 5),
    }
    .map(|level| level as u8))
}

fn enlarge(image: &RgbImage, factor: u32) -> RgbImage {
    match factor {
        1 => image.clone(),
        _ => {
            let (width, height) = image.dimensions();
            imageops::resize(image, width * factor, height * factor, imageops::FilterType::Nearest)
        }
    }
}

/// A mask seen at `factor` times its size.
struct Mask<'a> {
    values: &'a [u8],
    width: usize,
    factor: usize,
}

impl Mask<'_> {
    fn contains(&self, x: u32, y: u32) -> bool {
        let (column, row) = (x as usize / self.factor, y as usize / self.factor);
        column < self.width && self.values.get(row * self.width + column).is_some_and(|&v| v != 0)
    }

    /// Whether a pixel at most `reach` steps left, right, above or below of (x, y) is inside, or outside, as asked.
    fn is_within(&self, reach: u32, x: u32, y: u32, inside: bool) -> bool {
        let is_sought = |x: Option<u32>, y: Option<u32>| {
            x.zip(y).is_some_and(|(x, y)| self.contains(x, y)) == inside
        };
        (1..=reach).any(|step| {
            is_sought(x.checked_sub(step), Some(y))
                || is_sought(x.checked_add(step), Some(y))
                || is_sought(Some(x), y.checked_sub(step))
                || is_sought(Some(x), y.checked_add(step))
        })
    }
}

fn tint(picture: &mut RgbImage, mask: &Mask, Rgb(colour): Rgb<u8>) {
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        if mask.contains(x, y) {
            for (level, towards) in pixel.0.iter_mut().zip(colour) {
                *level = level.midpoint(towards);
            }
        }
    }
}

/// Draws the mask's rim in its full colour, 1 to 3 pixels wide by the picture's size, and a pale line around it that
/// parts it from things of the same colour.
fn outline(picture: &mut RgbImage, mask: &Mask, colour: Rgb<u8>) {
    let short_side = picture.width().min(picture.height());
    let reach = (short_side / 160).clamp(1, 3);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        if mask.contains(x, y) {
            if mask.is_within(reach, x, y, false) {
                *pixel = colour;
            }
        } else if mask.is_within(1, x, y, true) {
            pixel.0 = pixel.0.map(|level| level.midpoint(255));
        }
    }
}

#[cfg(test)]
mod tests;
