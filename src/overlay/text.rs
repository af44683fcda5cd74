//! Lines of text in the embedded font: measuring, wrapping, drawing.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, Point, PxScale, ScaleFont};
use image::{Rgb, RgbImage};

/// DejaVu Sans with Latin, Greek, Cyrillic and common signs (`assets/fonts/LICENSE-DejaVu.txt`).
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf"))
        .expect("the embedded font is sound")
});

/// Longest text that is looked at, in characters; wrapping shortens it anyway.
const MAX_CHARACTERS: usize = 2000;
const ELLIPSIS: char = '…';

/// The font at one size. Characters it lacks are drawn as a box.
#[derive(Clone, Copy)]
pub(super) struct Type {
    /// From the deepest descender to the highest ascender, in pixels.
    pub(super) height: f32,
}

impl Type {
    fn advance(self, character: char) -> f32 {
        FONT.as_scaled(self.height).h_advance(FONT.glyph_id(character))
    }

    /// Width of a line of `text` in pixels.
    pub(super) fn width(self, text: &str) -> f32 {
        text.chars().map(|character| self.advance(character)).sum()
    }

    /// Breaks `text` into at most `max_lines` lines of at most `width` pixels, between words where that is possible. What
    /// does not fit ends in an ellipsis.
    pub(super) fn wrap(self, text: &str, width: f32, max_lines: usize) -> Vec<String> {
        let text = printable(text);
        let mut rest = text.trim();
        let mut lines = Vec::new();
        while !rest.is_empty() && lines.len() < max_lines {
            let fitting = self.fitting(rest, width);
            if fitting == rest.len() {
                lines.push(rest.to_string());
                return lines;
            }
            if lines.len() + 1 == max_lines {
                let short = self.fitting(rest, width - self.advance(ELLIPSIS));
                lines.push(format!("{}{ELLIPSIS}", rest[..short].trim_end()));
                return lines;
            }
            // The space after a word that just fits is a good place to break too.
            let end = match rest[..fitting].rfind(' ') {
                _ if rest[fitting..].starts_with(' ') => fitting,
                Some(space) => space,
                None => fitting,
            };
            lines.push(rest[..end].trim_end().to_string());
            rest = rest[end..].trim_start();
        }
        lines
    }

    /// Bytes of the longest beginning of `text` that is at most `width` wide, but one character at least.
    fn fitting(self, text: &str, width: f32) -> usize {
        let mut used = 0.0;
        for (start, character) in text.char_indices() {
            used += self.advance(character);
            if used > width && start > 0 {
                return start;
            }
        }
        text.len()
    }

    /// Draws `text` with its top left corner at (x, y); what falls outside the canvas is left out.
    pub(super) fn draw(self, canvas: &mut RgbImage, x: f32, y: f32, text: &str, colour: Rgb<u8>) {
        let scale = PxScale::from(self.height);
        let baseline = y + FONT.as_scaled(scale).ascent();
        let mut x = x;
        for character in text.chars() {
            let position = Point { x, y: baseline };
            draw_glyph(
                canvas,
                FONT.glyph_id(character).with_scale_and_position(scale, position),
                colour,
            );
            x += self.advance(character);
        }
    }
}

fn draw_glyph(canvas: &mut RgbImage, glyph: Glyph, Rgb(colour): Rgb<u8>) {
    let Some(outline) = FONT.outline_glyph(glyph) else {
        return;
    };
    let corner = outline.px_bounds().min;
    outline.draw(|x, y, coverage| {
        let (x, y) = (corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y));
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
            for (level, towards) in pixel.0.iter_mut().zip(colour) {
                let mixed = f32::from(*level) + (f32::from(towards) - f32::from(*level)) * coverage;
                *level = mixed.round() as u8;
            }
        }
    });
}

/// `text` on one line: white space and control characters become single spaces, characters without a shape go.
fn printable(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars().take(MAX_CHARACTERS) {
        if character.is_whitespace() || character.is_control() {
            if !line.ends_with(' ') {
                line.push(' ');
            }
        } else if !is_invisible(character) {
            line.push(character);
        }
    }
    line
}

/// Soft hyphens, joiners, direction marks and variation selectors.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{AD}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{E0000}'..='\u{E01EF}'
    )
}
