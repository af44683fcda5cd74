//! The band below the picture: a chip of each mask's colour and the expression beside it.

use image::{Rgb, RgbImage, imageops};

use super::text::Type;
use super::{MIN_CANVAS, OverlayItem, colour};

const PAPER: Rgb<u8> = Rgb([250, 250, 250]);
const INK: Rgb<u8> = Rgb([24, 24, 24]);
const FAINT_INK: Rgb<u8> = Rgb([105, 105, 105]);
/// Most expressions listed; the rest are counted.
const MAX_ENTRIES: usize = 64;
/// Most lines an expression takes.
const MAX_LINES: usize = 3;

/// One expression, broken into lines.
struct Entry {
    /// None for the line that counts what is left out.
    chip: Option<Chip>,
    lines: Vec<String>,
    /// Added to the last line, or below it where it does not fit.
    note: Option<&'static str>,
}

#[derive(Clone, Copy)]
struct Chip {
    colour: Rgb<u8>,
    crossed_out: bool,
}

/// Sizes in pixels, all from the size of the picture.
struct Layout {
    letters: Type,
    line: f32,
    margin: f32,
    chip: f32,
    text_left: f32,
    text_width: f32,
}

impl Layout {
    fn new(width: u32, picture_height: u32) -> Self {
        let scale = (width as f32 * picture_height as f32).sqrt() / 32.0;
        let letters = scale.clamp(17.0, 110.0).min(width as f32 / 18.0);
        let (margin, chip) = ((letters * 0.6).round(), (letters * 0.8).round());
        let text_left = margin + chip + (letters * 0.5).round();
        Self {
            letters: Type { height: letters },
            line: (letters * 1.2).round(),
            margin,
            chip,
            text_left,
            text_width: width as f32 - text_left - margin,
        }
    }

    fn entry(&self, index: usize, item: &OverlayItem) -> Entry {
        let found = item.mask.is_some_and(|mask| mask.iter().any(|&value| value != 0));
        let note = match (item.rejected, found) {
            (true, _) => Some("not in the picture"),
            (false, false) => Some("empty mask"),
            (false, true) => None,
        };
        let chip = Chip { colour: colour(index), crossed_out: note.is_some() };
        let mut lines = self.letters.wrap(item.caption, self.text_width, MAX_LINES);
        if lines.is_empty() {
            lines.push("(no words)".into());
        }
        Entry { chip: Some(chip), lines, note }
    }

    /// Where the note goes: how far right, and whether it needs a line of its own.
    fn note_place(&self, entry: &Entry, note: &str) -> (f32, bool) {
        let before = entry.lines.last().map_or(0.0, |line| self.letters.width(line));
        let left = before + self.letters.height * 0.5;
        match left + self.letters.width(note) <= self.text_width {
            true => (left, false),
            false => (0.0, true),
        }
    }

    fn height(&self, entry: &Entry) -> f32 {
        let own_line = entry.note.is_some_and(|note| self.note_place(entry, note).1);
        self.line * (entry.lines.len() + usize::from(own_line)) as f32
    }

    fn draw(&self, canvas: &mut RgbImage, top: f32, entry: &Entry) {
        if let Some(chip) = entry.chip {
            let down = (self.letters.height - self.chip) / 2.0;
            draw_chip(canvas, self.margin as u32, (top + down) as u32, self.chip as u32, chip);
        }
        let mut y = top;
        for line in &entry.lines {
            self.letters.draw(canvas, self.text_left, y, line, INK);
            y += self.line;
        }
        if let Some(note) = entry.note {
            let (right, own_line) = self.note_place(entry, note);
            let y = if own_line { y } else { y - self.line };
            self.letters.draw(canvas, self.text_left + right, y, note, FAINT_INK);
        }
    }
}

/// Puts `picture` at the top of a canvas of at least [`MIN_CANVAS`] pixels' width, and the legend below.
pub(super) fn add_below(picture: RgbImage, items: &[OverlayItem]) -> RgbImage {
    let width = picture.width().max(MIN_CANVAS);
    let layout = Layout::new(width, picture.height());
    let mut entries: Vec<Entry> = (items.iter().enumerate().take(MAX_ENTRIES))
        .map(|(index, item)| layout.entry(index, item))
        .collect();
    if let Some(more @ 1..) = items.len().checked_sub(MAX_ENTRIES) {
        entries.push(Entry { chip: None, lines: vec![format!("and {more} more")], note: None });
    }
    let mut band = 0;
    if !entries.is_empty() {
        let lines: f32 = entries.iter().map(|entry| layout.height(entry)).sum();
        band = (2.0 * layout.margin + lines).ceil() as u32;
    }
    if (width, band) == (picture.width(), 0) {
        return picture;
    }
    let mut canvas = RgbImage::from_pixel(width, picture.height().saturating_add(band), PAPER);
    let left = (width - picture.width()) / 2;
    imageops::replace(&mut canvas, &picture, i64::from(left), 0);
    let mut top = picture.height() as f32 + layout.margin;
    for entry in &entries {
        layout.draw(&mut canvas, top, entry);
        top += layout.height(entry);
    }
    canvas
}

/// A square of `side` pixels: full for a mask, a frame with a stroke through it where there is none.
fn draw_chip(canvas: &mut RgbImage, left: u32, top: u32, side: u32, chip: Chip) {
    let stroke = (side / 9).max(1);
    for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
        let rim = row.min(column).min(side - 1 - row).min(side - 1 - column) < stroke;
        let diagonal = (side - 1 - row).abs_diff(column) < stroke;
        let colour = match chip.crossed_out {
            true if rim || diagonal => FAINT_INK,
            true => continue,
            false => chip.colour,
        };
        if let Some(pixel) = canvas.get_pixel_mut_checked(left + column, top + row) {
            *pixel = colour;
        }
    }
}
