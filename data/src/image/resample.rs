//! Pillow's antialiased bicubic resampling of 8-bit RGB, bit for bit.
//!
//! MLLMSeg was trained on images stretched by `PIL.Image.resize(..., BICUBIC)`. Resamplers that look alike differ from
//! it by a grey level in a few per cent of the values, so this one repeats its arithmetic: Keys' cubic with `a = -0.5`,
//! widened by the scale when shrinking; weights in fixed point with 22 fractional bits; columns first, then rows, each
//! pass rounded to 8 bits. Rows first (as `fast_image_resize` does, and Pillow 13 for images that shrink mostly in
//! height) changes three values in ten of a noisy image.

use image::RgbImage;

/// Fractional bits of a weight: 32 bits less 8 for the value and 2 for the filter's overshoot and sign.
const WEIGHT_BITS: u32 = 22;
/// Half a grey level, so that the final shift rounds to nearest.
const HALF: i32 = 1 << (WEIGHT_BITS - 1);
/// Half the width of the cubic, in source pixels when enlarging.
const SUPPORT: f64 = 2.0;
const CHANNELS: usize = 3;

/// Resizes `image` to `width` x `height`, stretching it if the shapes differ.
///
/// Every byte equals `image.resize((width, height), PIL.Image.BICUBIC)` of Pillow before version 13 (checked with 11.3 and 12.0). An image without pixels gives
/// a black one.
pub fn resize_rgb(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = image.dimensions();
    if (from_width, from_height) == (width, height) {
        return image.clone();
    }
    let mut resized = RgbImage::new(width, height);
    if [from_width, from_height, width, height].contains(&0) {
        return resized;
    }
    if from_width == width {
        resize_rows(image, &windows(from_height, height), &mut resized);
    } else if from_height == height {
        resize_columns(image, &windows(from_width, width), &mut resized);
    } else {
        let mut narrowed = RgbImage::new(width, from_height);
        resize_columns(image, &windows(from_width, width), &mut narrowed);
        resize_rows(&narrowed, &windows(from_height, height), &mut resized);
    }
    resized
}

/// The first source position that an output position reads, and the weights of that one and those after it.
type Window = (usize, Vec<i32>);

/// The window of every output position.
fn windows(from: u32, to: u32) -> Vec<Window> {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let reach = SUPPORT * stretch;
    let window = |position: u32| {
        let centre = (f64::from(position) + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as u32;
        let end = ((centre + reach + 0.5) as u32).min(from);
        let weight = |source: u32| cubic((f64::from(source) - centre + 0.5) / stretch);
        let raw: Vec<f64> = (first..end).map(weight).collect();
        let total: f64 = raw.iter().sum();
        let fixed = |weight: &f64| (weight / total * f64::from(1 << WEIGHT_BITS)).round() as i32;
        (first as usize, raw.iter().map(fixed).collect())
    };
    (0..to).map(window).collect()
}

/// Keys' cubic convolution kernel with `a = -0.5` (Catmull-Rom).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < SUPPORT {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn to_level(sum: i32) -> u8 {
    (sum >> WEIGHT_BITS).clamp(0, 255) as u8
}

/// Changes the width: every output pixel is a weighted sum along its row.
fn resize_columns(from: &RgbImage, windows: &[Window], to: &mut RgbImage) {
    let (from_stride, to_stride) =
        (from.width() as usize * CHANNELS, to.width() as usize * CHANNELS);
    let rows = from.chunks_exact(from_stride).zip(to.chunks_exact_mut(to_stride));
    for (source, target) in rows {
        for (pixel, (first, window)) in target.chunks_exact_mut(CHANNELS).zip(windows) {
            let mut sum = [HALF; CHANNELS];
            let reads = source[first * CHANNELS..].chunks_exact(CHANNELS);
            for (levels, weight) in reads.zip(window) {
                for (sum, &level) in sum.iter_mut().zip(levels) {
                    *sum += i32::from(level) * weight;
                }
            }
            for (value, sum) in pixel.iter_mut().zip(sum) {
                *value = to_level(sum);
            }
        }
    }
}

/// Changes the height: every output row is a weighted sum of whole source rows.
fn resize_rows(from: &RgbImage, windows: &[Window], to: &mut RgbImage) {
    let stride = from.width() as usize * CHANNELS;
    let mut sums = vec![HALF; stride];
    for (target, (first, window)) in to.chunks_exact_mut(stride).zip(windows) {
        sums.fill(HALF);
        for (source, &weight) in from.as_raw()[first * stride..].chunks_exact(stride).zip(window) {
            for (sum, &level) in sums.iter_mut().zip(source) {
                *sum += i32::from(level) * weight;
            }
        }
        for (value, &sum) in target.iter_mut().zip(&sums) {
            *value = to_level(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One case of `resize.json`, written by `tests/oracle/image_resize.py` with Pillow.
    #[derive(serde::Deserialize)]
    struct Case {
        pattern: String,
        from: (u32, u32),
        to: (u32, u32),
        source_crc32: u32,
        crc32: u32,
        pixels: Vec<(u32, u32, u8, u8, u8)>,
    }

    #[derive(serde::Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }

    /// The same formula as the Python script's.
    fn test_image(pattern: &str, width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([0u32, 1, 2].map(|c| match pattern {
                "noise" => {
                    let v = x.wrapping_mul(73_856_093)
                        ^ y.wrapping_mul(19_349_663)
                        ^ c.wrapping_mul(83_492_791);
                    let v = (v ^ (v >> 13)).wrapping_mul(0x5BD1_E995);
                    (v ^ (v >> 15)) as u8
                }
                "smooth" => ((x * 3 + y * 5 + c * 40) / 7) as u8,
                _ => ((x / 3 + y / 2 + c) % 2 * 255) as u8,
            }))
        })
    }

    #[test]
    fn equals_pillow_in_every_byte() {
        let text = include_str!("../../tests/fixtures/image/resize.json");
        let Cases { cases } = serde_json::from_str(text).unwrap();
        assert_eq!(cases.len(), 19);
        for case in cases {
            let what = format!("{} {:?} -> {:?}", case.pattern, case.from, case.to);
            let source = test_image(&case.pattern, case.from.0, case.from.1);
            assert_eq!(crc32fast::hash(&source), case.source_crc32, "the formula of {what}");
            let resized = resize_rgb(&source, case.to.0, case.to.1);
            for (x, y, r, g, b) in case.pixels {
                assert_eq!(resized.get_pixel(x, y).0, [r, g, b], "{what} at {x}, {y}");
            }
            assert_eq!(crc32fast::hash(&resized), case.crc32, "{what}");
        }
    }

    #[test]
    fn an_image_without_pixels_becomes_black_not_a_panic() {
        let black = resize_rgb(&RgbImage::new(0, 7), 2, 2);
        assert_eq!(black.into_raw(), [0; 12]);
        assert!(resize_rgb(&RgbImage::new(5, 5), 0, 3).is_empty());
    }
}
