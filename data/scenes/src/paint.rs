//! Colours, textures and backgrounds, in integers.

use crate::rng::Rng;
use crate::vocabulary::Colour;

/// The shading of a surface: a value from -256 to 256 at each pixel.
#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    /// 0 everywhere.
    Plain,
    /// A linear gradient.
    Gradient { across: i32, down: i32, start: i32 },
    /// Slanted bands.
    Stripes { across: i32, down: i32, start: i32 },
    /// Soft blotches: random values at the corners of a grid, interpolated in between.
    Blotches { cell: i32, columns: i32, corners: Vec<i16> },
}

impl Pattern {
    fn random(rng: &mut Rng, side: i32, coarse: i32) -> Self {
        match rng.below(4) {
            0 => Self::Plain,
            1 => {
                // 512 levels over the side, in 256ths of a level per pixel.
                let step = 512 * 256 / side.max(1);
                let across = rng.between(-step, step);
                let rest = step - across.abs();
                let down = if rng.chance(50) { rest } else { -rest };
                Self::Gradient { across, down, start: rng.between(0, side) }
            }
            2 => {
                // A period has 1024 levels and `coarse` to twice as many pixels.
                let step = 1024 * 256 / rng.between(coarse, 2 * coarse).max(1);
                let across = rng.between(-step, step);
                let start = rng.between(0, 1023);
                Self::Stripes { across, down: step - across.abs(), start }
            }
            _ => {
                let cell = rng.between(coarse, 2 * coarse).max(2);
                let columns = side / cell + 2;
                let count = (columns * columns).clamp(4, 65_536);
                let corners = (0..count).map(|_| rng.between(-256, 256) as i16).collect();
                Self::Blotches { cell, columns, corners }
            }
        }
    }

    fn at(&self, x: i32, y: i32) -> i32 {
        match self {
            Self::Plain => 0,
            Self::Gradient { across, down, start } => {
                let value = (across * (x - start) + down * (y - start)) / 256;
                value.clamp(-256, 256)
            }
            Self::Stripes { across, down, start } => {
                // A triangle wave: up from -256 to 256, and down again.
                let phase = (start + (across * x + down * y) / 256).rem_euclid(1024);
                if phase < 512 { phase - 256 } else { 768 - phase }
            }
            Self::Blotches { cell, columns, corners } => {
                let (column, row) = (x / cell, y / cell);
                let (across, down) = (x % cell, y % cell);
                let corner = |c: i32, r: i32| {
                    let index = (r * columns + c) as usize;
                    i32::from(corners.get(index).copied().unwrap_or(0))
                };
                let mix = |a: i32, b: i32, part: i32| (a * (cell - part) + b * part) / cell;
                let above = mix(corner(column, row), corner(column + 1, row), across);
                let below = mix(corner(column, row + 1), corner(column + 1, row + 1), across);
                mix(above, below, down)
            }
        }
    }
}

/// A colour and its variation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Surface {
    colour: [i32; 3],
    pattern: Pattern,
    strength: i32,
    /// The least and the largest level of a channel.
    levels: [i32; 2],
}

/// The mean of a colour, in sRGB.
pub(crate) fn rgb(colour: Colour) -> [i32; 3] {
    match colour {
        Colour::Red => [208, 34, 38],
        Colour::Green => [36, 150, 58],
        Colour::Blue => [42, 82, 214],
        Colour::Yellow => [236, 208, 44],
        Colour::Purple => [152, 52, 182],
        Colour::White => [240, 240, 238],
        Colour::Black => [20, 20, 24],
        Colour::Orange => [240, 124, 22],
    }
}

impl Surface {
    /// The surface of an object whose texture departs from its mean by at most `strength` levels.
    pub(crate) fn object(rng: &mut Rng, colour: Colour, side: i32, strength: u8) -> Self {
        let tint = |rng: &mut Rng, level: i32| level + rng.between(-9, 9);
        let colour = rgb(colour).map(|level| tint(rng, level));
        let strength = rng.between(0, i32::from(strength));
        let pattern = Pattern::random(rng, side, 5);
        Self { colour, pattern, strength, levels: [0, 255] }
    }

    /// A grey background, darker than white objects and lighter than black ones.
    pub(crate) fn background(rng: &mut Rng, side: i32, strength: u8) -> Self {
        let grey = rng.between(78, 150);
        let colour = [0; 3].map(|_: i32| grey + rng.between(-8, 8));
        let strength = rng.between(i32::from(strength) / 2, i32::from(strength));
        let pattern = Pattern::random(rng, side, 16);
        Self { colour, pattern, strength, levels: [56, 176] }
    }

    /// The colour at a pixel.
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let shade = self.pattern.at(x as i32, y as i32) * self.strength / 256;
        let [least, most] = self.levels;
        self.colour.map(|level| (level + shade).clamp(least, most) as u8)
    }
}

/// `over` on top of `under`, with opacity `alpha` of 255.
pub(crate) fn blend(under: u8, over: u8, alpha: u8) -> u8 {
    let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
    ((under * (255 - alpha) + over * alpha + 127) / 255) as u8
}

/// Adds a random level between -`strength` and `strength` to every byte.
pub(crate) fn add_grain(bytes: &mut [u8], rng: &mut Rng, strength: u8) {
    let span = 2 * u32::from(strength) + 1;
    for eight in bytes.chunks_mut(8) {
        let random = rng.next().to_le_bytes();
        for (byte, random) in eight.iter_mut().zip(random) {
            let level = i32::from(*byte) + ((u32::from(random) * span) >> 8) as i32;
            *byte = (level - i32::from(strength)).clamp(0, 255) as u8;
        }
    }
}
