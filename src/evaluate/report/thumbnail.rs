//! Small pictures, with or without a mask over them.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use mllmseg_data::image::resize_rgb;
use mllmseg_data::mask::Bitmap;

use super::html::base64;

/// The longer side at most, in pixels.
const SIDE: u32 = 280;
const QUALITY: u8 = 80;

/// The colour of the annotated mask.
pub(super) const TRUTH: Rgb<u8> = Rgb([34, 197, 94]);
/// The colour of the predicted mask.
pub(super) const PREDICTION: Rgb<u8> = Rgb([249, 115, 22]);

/// A picture at thumbnail size.
pub(super) fn shrink(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= SIDE {
        return image.clone();
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
    resize_rgb(image, scaled(width), scaled(height))
}

/// A thumbnail with a mask of the original picture laid over it: the rest is dimmed, the mask is
/// tinted, its edge is drawn in full colour.
pub(super) fn paint(thumbnail: &RgbImage, mask: &Bitmap, colour: Rgb<u8>) -> RgbImage {
    let (width, height) = thumbnail.dimensions();
    let inside = |x: u32, y: u32| {
        let column = (2 * x as usize + 1) * mask.width() / (2 * width as usize);
        let row = (2 * y as usize + 1) * mask.height() / (2 * height as usize);
        mask.get(row, column).unwrap_or(false)
    };
    let mut painted = thumbnail.clone();
    for (x, y, pixel) in painted.enumerate_pixels_mut() {
        if !inside(x, y) {
            pixel.0 = pixel.0.map(|value| (u16::from(value) * 5 / 8) as u8);
            continue;
        }
        let edge = (x > 0 && !inside(x - 1, y))
            || (y > 0 && !inside(x, y - 1))
            || (x + 1 < width && !inside(x + 1, y))
            || (y + 1 < height && !inside(x, y + 1));
        for (value, tint) in pixel.0.iter_mut().zip(colour.0) {
            let mixed = (u16::from(*value) * 11 + u16::from(tint) * 9) / 20;
            *value = if edge { tint } else { mixed as u8 };
        }
    }
    painted
}

/// The picture as a JPEG in a data URI, or nothing if it cannot be one.
pub(super) fn data_uri(image: &RgbImage) -> Option<String> {
    let mut bytes = Vec::new();
    let (width, height) = image.dimensions();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(format!("data:image/jpeg;base64,{}", base64(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_dimmed_and_the_edge_is_in_full_colour() {
        let grey = RgbImage::from_pixel(6, 6, Rgb([80; 3]));
        let mut pixels = vec![false; 36];
        for (index, pixel) in pixels.iter_mut().enumerate() {
            *pixel = (1..5).contains(&(index % 6)) && (1..5).contains(&(index / 6));
        }
        let mask = Bitmap::from_pixels(6, 6, pixels).unwrap();
        let painted = paint(&grey, &mask, TRUTH);
        assert_eq!(painted.get_pixel(0, 0).0, [50; 3]);
        assert_eq!(painted.get_pixel(1, 1), &TRUTH);
        // (80 * 11 + 34 * 9) / 20, and so on
        assert_eq!(painted.get_pixel(2, 2).0, [59, 132, 86]);
    }

    #[test]
    fn sides_are_bounded() {
        let long = RgbImage::new(3000, 20);
        assert_eq!(shrink(&long).dimensions(), (280, 1));
        let uri = data_uri(&shrink(&long)).unwrap();
        assert!(uri.starts_with("data:image/jpeg;base64,/9j/") && uri.len() < 4000);
    }
}
