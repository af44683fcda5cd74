//! The band below the image: a chip of each mask's colour and the expression beside it.

use image::{Rgb, RgbImage, imageops};

use super::colours::{FAINT_INK, INK, PAPER, colour};
use super::item::OverlayItem;
use super::text::Type;

/// Narrowest overlay in pixels; tiny images are enlarged towards it so that there is something to see.
pub(super) const MIN_CANVAS: u32 = 640;
/// Most expressions listed; the rest are counted.
const MAX_ENTRIES: usize = 64;
/// Most lines an expression takes.
const MAX_LINES: usize = 3;

/// One expression, broken into lines.
struct Entry {
    /// Of its chip; none for remarks, and for the line that counts what is left out.
    colour: Option<Rgb<u8>>,
    lines: Vec<String>,
    /// Why there is no mask: after the last line, or below it where it does not fit.
    note: Option<&'static str>,
}

/// Sizes in pixels, all from the size of the image.
struct Layout {
    letters: Type,
    line: f32,
    margin: f32,
    chip: f32,
    text_left: f32,
    text_width: f32,
}

impl Layout {
    fn new(width: u32, image_height: u32) -> Self {
        let scale = (width as f32 * image_height as f32).sqrt() / 32.0;
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
        let found = item.mask.is_some_and(|mask| !mask.is_empty());
        let note = match (item.rejected, found) {
            (true, _) => Some("not in the picture"),
            (false, false) => Some("empty mask"),
            (false, true) => None,
        };
        let mut lines = self.letters.wrap(item.caption, self.text_width, MAX_LINES);
        if lines.is_empty() {
            lines.push("(no words)".into());
        }
        Entry { colour: Some(colour(index)), lines, note }
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
        if let Some(colour) = entry.colour {
            let down = (self.letters.height - self.chip) / 2.0;
            let [left, top, side] = [self.margin, top + down, self.chip].map(|x| x as u32);
            draw_chip(canvas, left, top, side, entry.note.is_none().then_some(colour));
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

/// Puts `image` at the top of a canvas of at least [`MIN_CANVAS`] pixels' width, and the legend below.
pub(super) fn add_below(image: RgbImage, items: &[OverlayItem], remarks: &[String]) -> RgbImage {
    let width = image.width().max(MIN_CANVAS);
    let layout = Layout::new(width, image.height());
    let mut entries: Vec<Entry> = (items.iter().enumerate().take(MAX_ENTRIES))
        .map(|(index, item)| layout.entry(index, item))
        .collect();
    if let Some(more @ 1..) = items.len().checked_sub(MAX_ENTRIES) {
        entries.push(Entry { colour: None, lines: vec![format!("and {more} more")], note: None });
    }
    for remark in remarks {
        let lines = layout.letters.wrap(remark, layout.text_width, MAX_LINES);
        entries.push(Entry { colour: None, lines, note: None });
    }
    let mut band = 0;
    if !entries.is_empty() {
        let lines: f32 = entries.iter().map(|entry| layout.height(entry)).sum();
        band = (2.0 * layout.margin + lines).ceil() as u32;
    }
    if (width, band) == (image.width(), 0) {
        return image;
    }
    let mut canvas = RgbImage::from_pixel(width, image.height().saturating_add(band), PAPER);
    let left = (width - image.width()) / 2;
    imageops::replace(&mut canvas, &image, i64::from(left), 0);
    let mut top = image.height() as f32 + layout.margin;
    for entry in &entries {
        layout.draw(&mut canvas, top, entry);
        top += layout.height(entry);
    }
    canvas
}

/// A square of `side` pixels: full of the mask's colour, a frame with a stroke through it without one.
fn draw_chip(canvas: &mut RgbImage, left: u32, top: u32, side: u32, full: Option<Rgb<u8>>) {
    let stroke = (side / 9).max(1);
    for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
        let rim = row.min(column).min(side - 1 - row).min(side - 1 - column) < stroke;
        let diagonal = (side - 1 - row).abs_diff(column) < stroke;
        let colour = match full {
            Some(colour) => colour,
            None if rim || diagonal => FAINT_INK,
            None => continue,
        };
        if let Some(pixel) = canvas.get_pixel_mut_checked(left + column, top + row) {
            *pixel = colour;
        }
    }
}
