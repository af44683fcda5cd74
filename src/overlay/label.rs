//! The words of a mask, on a tag of its colour at the object.

use image::{Rgb, RgbImage};
use mllmseg_data::mask::Bitmap;

use super::colours::{INK, PAPER, colour};
use super::item::OverlayItem;
use super::text::Type;

/// Left, top, right and bottom of a tag, in pixels.
type Tag = [f32; 4];

/// Draws the words of each mask over the canvas, on which the image is enlarged by `factor`. A tag stands
/// above its object's first pixel, or else below the last; it makes way for earlier ones.
pub(super) fn draw(canvas: &mut RgbImage, factor: u32, items: &[OverlayItem]) {
    let (width, height) = (canvas.width() as f32, canvas.height() as f32);
    let letters = Type { height: (width.min(height) / 30.0).clamp(17.0, 90.0) };
    let (pad, line) = ((letters.height * 0.3).round(), (letters.height * 1.2).round());
    let mut tags: Vec<Tag> = Vec::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.rejected) {
        let Some((top, bottom)) = item.mask.and_then(|mask| ends(mask, factor)) else { continue };
        let text = letters.wrap(item.caption, width * 0.6, 1).into_iter().next();
        let Some(text) = text else { continue };
        let tag_width = letters.width(&text) + 2.0 * pad;
        let at = |[x, y]: [f32; 2], lines: f32| {
            let x = (x - tag_width / 2.0).min(width - tag_width).max(0.0).round();
            let y = (y + lines * line).min(height - line).max(0.0).round();
            [x, y, x + tag_width, y + line]
        };
        let places = [at(top, -1.3), at(bottom, 0.3), at(top, -2.4), at(bottom, 1.4)];
        // At the upper edge there is no room above.
        let places = if top[1] < 1.3 * line { &places[1..] } else { &places[..] };
        let free = |place: &&Tag| !tags.iter().any(|tag| overlap(tag, place));
        let place = *places.iter().find(free).unwrap_or(&places[0]);
        let background = colour(index);
        fill(canvas, place, background);
        let ink = if is_light(background) { INK } else { PAPER };
        letters.draw(canvas, place[0] + pad, place[1] + (line - letters.height) / 2.0, &text, ink);
        tags.push(place);
    }
}

/// The upper end of the first pixel and the lower end of the last, on the canvas.
fn ends(mask: &Bitmap, factor: u32) -> Option<([f32; 2], [f32; 2])> {
    let place = |index: usize, below: f32| {
        let (x, y) = (index % mask.width(), index / mask.width());
        [(x as f32 + 0.5) * factor as f32, (y as f32 + below) * factor as f32]
    };
    let first = mask.pixels().iter().position(|&inside| inside)?;
    let last = mask.pixels().iter().rposition(|&inside| inside)?;
    Some((place(first, 0.0), place(last, 1.0)))
}

fn overlap(a: &Tag, b: &Tag) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

fn fill(canvas: &mut RgbImage, [left, top, right, bottom]: Tag, colour: Rgb<u8>) {
    let (columns, rows) = (left as u32..right as u32, top as u32..bottom as u32);
    for (x, y) in rows.flat_map(|y| columns.clone().map(move |x| (x, y))) {
        if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
            *pixel = colour;
        }
    }
}

fn is_light(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    30 * u32::from(red) + 59 * u32::from(green) + 11 * u32::from(blue) > 12_000
}
