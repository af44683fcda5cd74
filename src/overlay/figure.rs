//! An image, the model's activations over it, and its mask, side by side: the paper's Figure 4.

use image::{RgbImage, imageops};

use super::colours::{FAINT_INK, INK, PAPER, colour};
use super::item::{OverlayError, OverlayItem, check};
use super::masks::paint;
use super::scale::{enlarge, shrink};
use super::text::Type;
use super::{heat, legend};

/// The longest side of a panel's image, in pixels.
const MAX_PANEL: u32 = 480;
/// Narrowest panel, for its title's sake.
const MIN_PANEL: u32 = 220;

/// A square map of numbers over the whole image.
#[derive(Clone, Debug)]
pub struct HeatMap {
    /// Written over its panel.
    pub title: String,
    /// Written below the title, smaller.
    pub note: String,
    /// `side * side` numbers from 0 (least) to 1 (most), row by row.
    pub values: Vec<f32>,
}

/// An image with its title, as it stands in the figure.
struct Panel<'a> {
    title: &'a str,
    note: String,
    image: RgbImage,
}

/// Draws `image`, each of `maps` as heat over it, and the mask of `item` side by side, titles above and
/// the legend of `item` below.
///
/// Panels are at most 480 pixels a side; smaller images are enlarged by a whole factor towards it.
///
/// # Errors
/// [`OverlayError::NoPixels`] for an empty image, [`OverlayError::MaskSize`] for a mask of another
/// size than the image's, [`OverlayError::MapSize`] for a map that is not square.
pub fn draw_figure(
    image: &RgbImage,
    maps: &[HeatMap],
    item: OverlayItem,
) -> Result<RgbImage, OverlayError> {
    check(image, &[item])?;
    let small = fit(image);
    let size = format!("{} x {} pixels", image.width(), image.height());
    let mut panels = vec![Panel { title: "image", note: size, image: small.clone() }];
    for map in maps {
        let side = map.values.len().isqrt();
        if side == 0 || side * side != map.values.len() {
            return Err(OverlayError::MapSize(map.title.clone(), map.values.len()));
        }
        let image = heat::lay_over(&small, &map.values, side as u32);
        panels.push(Panel { title: &map.title, note: map.note.clone(), image });
    }
    let mut image = small;
    if let Some(mask) = item.mask.filter(|_| !item.rejected) {
        paint(&mut image, &[(mask, colour(0))]);
    }
    panels.push(Panel { title: "mask", note: "the answer".into(), image });
    Ok(legend::add_below(side_by_side(&panels), &[item], &[]))
}

/// The image at a panel's size.
fn fit(image: &RgbImage) -> RgbImage {
    match MAX_PANEL / image.width().max(image.height()) {
        0 => shrink(image, MAX_PANEL),
        factor => enlarge(image, factor),
    }
}

fn side_by_side(panels: &[Panel]) -> RgbImage {
    let size = |of: fn(&RgbImage) -> u32| panels.iter().map(|panel| of(&panel.image)).max();
    let width = size(RgbImage::width).unwrap_or(0).max(MIN_PANEL);
    let height = size(RgbImage::height).unwrap_or(0);
    let letters = Type { height: (width as f32 / 18.0).clamp(15.0, 26.0).round() };
    let small = Type { height: (letters.height * 0.8).round() };
    let margin = (letters.height * 0.6).round();
    let top = margin + (letters.height * 1.2).round() + (small.height * 1.4).round();
    let count = panels.len() as u32;
    let (gap, top_pixels) = (margin as u32, top as u32);
    let mut canvas =
        RgbImage::from_pixel(count * width + (count + 1) * gap, top_pixels + height, PAPER);
    for (place, panel) in panels.iter().enumerate() {
        let left = gap + place as u32 * (width + gap);
        let line = |letters: Type, text: &str| {
            letters.wrap(text, width as f32, 1).into_iter().next().unwrap_or_default()
        };
        let (x, below) = (left as f32, margin + (letters.height * 1.2).round());
        letters.draw(&mut canvas, x, margin, &line(letters, panel.title), INK);
        small.draw(&mut canvas, x, below, &line(small, &panel.note), FAINT_INK);
        imageops::replace(&mut canvas, &panel.image, i64::from(left), i64::from(top_pixels));
    }
    canvas
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use mllmseg_data::mask::Bitmap;

    use super::*;

    fn item(mask: &Bitmap) -> OverlayItem<'_> {
        OverlayItem { caption: "the left half", mask: Some(mask), rejected: false }
    }

    fn map(title: &str, values: Vec<f32>) -> HeatMap {
        HeatMap { title: title.into(), note: "0 to 1".into(), values }
    }

    #[test]
    fn panels_stand_side_by_side() {
        let image = RgbImage::from_pixel(400, 300, Rgb([90, 90, 90]));
        let mask = (0..400 * 300).map(|i| i % 400 < 200).collect();
        let mask = Bitmap::from_pixels(300, 400, mask).unwrap();
        let map = map("T_img1", vec![0.0, 0.0, 0.0, 1.0]);
        let figure = draw_figure(&image, &[map.clone(), map], item(&mask)).unwrap();
        // 400 / 18 = 22 pixels of letters, 18 of small ones: a margin of 13, panels from 13 + 26 + 25.
        assert_eq!(figure.width(), 4 * 400 + 5 * 13);
        assert!(figure.height() > 300 + 64, "the legend is below");
        let panel = |number: u32, x: u32, y: u32| figure.get_pixel(13 + number * 413 + x, 64 + y).0;
        assert_eq!(panel(0, 0, 0), [90; 3]);
        assert_eq!(panel(0, 399, 299), [90; 3]);
        // Dark violet and yellow over the grey, by 0.65.
        assert_eq!(panel(1, 0, 0), [76, 32, 86]);
        assert_eq!(panel(2, 399, 299), [196, 182, 56]);
        // The object as it is, its outline in sky blue, the rest dimmed to two fifths.
        assert_eq!(panel(3, 100, 150), [90; 3]);
        assert_eq!(panel(3, 200, 150), [86, 180, 233]);
        assert_eq!(panel(3, 300, 150), [36; 3]);
        let ink = |y: u32| (0..figure.width()).any(|x| figure.get_pixel(x, y).0[0] < 60);
        assert!((13..39).any(ink), "titles are written");
    }

    #[test]
    fn images_of_any_shape_make_a_bounded_figure() {
        for (width, height) in [(1, 1), (5000, 1), (2, 4000), (1300, 900)] {
            let image = RgbImage::new(width, height);
            let mask = Bitmap::new(height as usize, width as usize).unwrap();
            let map = map("T_vl", vec![0.5; 1024]);
            let figure = draw_figure(&image, &vec![map; 3], item(&mask)).unwrap();
            assert!(figure.width() <= 5 * 480 + 6 * 20, "{}", figure.width());
            assert!(figure.height() <= 480 + 200, "{}", figure.height());
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let image = RgbImage::new(4, 4);
        let map = map("T_vl", vec![0.0; 5]);
        let [mask, other] = [4, 5].map(|side| Bitmap::new(4, side).unwrap());
        let error = draw_figure(&image, &[map], item(&mask)).unwrap_err().to_string();
        assert!(error.contains("\"T_vl\"") && error.contains('5'), "{error}");
        let error = draw_figure(&image, &[], item(&other)).unwrap_err();
        assert!(matches!(error, OverlayError::MaskSize(_, _, [4, 5])));
        assert!(draw_figure(&RgbImage::new(0, 1), &[], item(&mask)).is_err());
    }
}
