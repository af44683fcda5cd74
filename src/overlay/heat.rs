//! A map of numbers over an image as colours.

use image::{ImageBuffer, Luma, Rgb, RgbImage, imageops};

/// Viridis of Smith and van der Walt (CC0) at nine even places: its lightness rises evenly from the
/// least to the most, for people of all kinds of colour vision and in grey print.
const VIRIDIS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 45, 123],
    [59, 82, 139],
    [44, 114, 142],
    [33, 145, 140],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];
/// Share of the heat's colour in a pixel; the rest is the image's.
const HEAT: f32 = 0.65;

/// The colour of a number from 0 to 1.
fn heat(value: f32) -> [f32; 3] {
    let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
    let place = value * (VIRIDIS.len() - 1) as f32;
    let below = (place as usize).min(VIRIDIS.len() - 2);
    let fraction = place - below as f32;
    std::array::from_fn(|channel| {
        let [low, high] = [0, 1].map(|step| f32::from(VIRIDIS[below + step][channel]));
        low + (high - low) * fraction
    })
}

/// `image` in grey under the heat of `values`, a `side x side` map stretched over it bilinearly.
///
/// The image keeps its brightness and loses its colours: every hue is the map's.
pub(super) fn lay_over(image: &RgbImage, values: &[f32], side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let value = |x: u32, y: u32| values.get((y * side + x) as usize).copied().unwrap_or(0.0);
    let map = ImageBuffer::from_fn(side, side, |x, y| Luma([value(x, y)]));
    let map = imageops::resize(&map, width, height, imageops::FilterType::Triangle);
    let grey = imageops::grayscale(image);
    RgbImage::from_fn(width, height, |x, y| {
        let light = f32::from(grey.get_pixel(x, y).0[0]);
        let colour = heat(map.get_pixel(x, y).0[0]);
        Rgb(colour.map(|level| (light + (level - light) * HEAT).round() as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_grow_lighter_with_the_number() {
        // Relative luminance, as WCAG defines it.
        let luminance = |value: f32| {
            let linear = heat(value).map(|level| (level / 255.0).powf(2.2));
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let steps: Vec<f32> = (0..=100).map(|step| luminance(step as f32 / 100.0)).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(heat(1.0), [253.0, 231.0, 37.0]);
        assert_eq!(heat(f32::NAN), heat(0.0));
        assert_eq!(heat(f32::INFINITY), heat(1.0));
    }

    /// Two columns, 0 and 1, over 4 pixels: bilinear weights are 0, 1/4, 3/4, 1.
    #[test]
    fn a_map_is_stretched_over_the_image() {
        let image = RgbImage::from_pixel(4, 2, Rgb([100; 3]));
        let drawn = lay_over(&image, &[0.0, 1.0, 0.0, 1.0], 2);
        // 100 + (253 - 100) * 0.65, and so on; a quarter of the way is the third of nine places.
        assert_eq!(drawn.get_pixel(3, 0).0, [199, 185, 59]);
        assert_eq!(drawn.get_pixel(1, 1).0, [73, 88, 125]);
        assert_eq!(drawn.get_pixel(0, 0).0, [79, 36, 90]);
    }
}
