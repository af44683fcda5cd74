//! The colours of masks, legends and figures.

use image::Rgb;

pub(super) const PAPER: Rgb<u8> = Rgb([250, 250, 250]);
pub(super) const INK: Rgb<u8> = Rgb([24, 24, 24]);
pub(super) const FAINT_INK: Rgb<u8> = Rgb([105, 105, 105]);

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

/// The colour of the item at `index` as `#rrggbb`.
pub fn colour_code(index: usize) -> String {
    let Rgb([red, green, blue]) = colour(index);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The colour of the item at `index`: the palette, then a lighter and a darker round of it.
pub(super) fn colour(index: usize) -> Rgb<u8> {
    let base = PALETTE[index % PALETTE.len()].map(u16::from);
    Rgb(match index / PALETTE.len() % 3 {
        0 => base,
        1 => base.map(|level| (level + 255) / 2),
        _ => base.map(|level| level * 3 / 5),
    }
    .map(|level| level as u8))
}
