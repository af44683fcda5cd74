//! The items of an overlay, and why one cannot be drawn.

use image::RgbImage;
use mllmseg_data::mask::Bitmap;

/// One expression and the model's answer.
#[derive(Clone, Copy, Debug)]
pub struct OverlayItem<'a> {
    /// The expression, as the legend shows it.
    pub caption: &'a str,
    /// Its mask, at the image's size.
    pub mask: Option<&'a Bitmap>,
    /// Whether the model answered that nothing in the image fits; then the mask is not drawn.
    pub rejected: bool,
}

/// Why an overlay or a figure could not be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverlayError {
    /// The image has a width or height of zero.
    #[error("the image is {0} x {1}, so there is nothing to draw on; check how it was read")]
    NoPixels(u32, u32),
    /// A mask is not of the image's size: its caption, and height and width of image and mask.
    #[error(
        "the mask of {caption:?} is {} x {}, but the image is {} x {} (height x width); resize the \
         mask to the original image first",
        .2[0], .2[1], .1[0], .1[1], caption = .0
    )]
    MaskSize(String, [usize; 2], [usize; 2]),
    /// A heat map is not square: its title, and the number of its values.
    #[error("the heat map {0:?} has {1} values; expected rows of a square, such as 32 x 32")]
    MapSize(String, usize),
}

/// That there is something to draw on, and that the masks fit it.
pub(super) fn check(image: &RgbImage, items: &[OverlayItem]) -> Result<(), OverlayError> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(OverlayError::NoPixels(width, height));
    }
    let expected = [height as usize, width as usize];
    for item in items {
        if let Some(found) = item.mask.map(Bitmap::size).filter(|size| *size != expected) {
            return Err(OverlayError::MaskSize(item.caption.to_owned(), expected, found));
        }
    }
    Ok(())
}
