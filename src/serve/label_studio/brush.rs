//! Label Studio's run lengths of a mask: a bit stream over four bytes a pixel (RGBA, all alike).
//!
//! Its public description: 32 bits of the number of bytes, 5 of the word size less one, four times 4 bits
//! of the widths that a run's length may have, less one. Then, for each run, a one bit, 2 bits that
//! choose the width, the length less one, and the value. The stream ends in zeros up to a whole byte.

use mllmseg_data::mask::Bitmap;

/// Bits of a value.
const WORD: u32 = 8;
/// Bits that a length may take.
const WIDTHS: [u32; 4] = [3, 4, 8, 16];
/// Bytes of a pixel.
const CHANNELS: u64 = 4;

/// The bytes, as Label Studio's `rle` lists them.
pub fn encode_brush(mask: &Bitmap) -> Vec<u8> {
    let mut bits = Bits::default();
    // At most 100 megapixels: 400 million bytes.
    bits.push(CHANNELS * mask.pixels().len() as u64, 32);
    bits.push(u64::from(WORD - 1), 5);
    WIDTHS.iter().for_each(|width| bits.push(u64::from(width - 1), 4));
    for run in mask.pixels().chunk_by(|a, b| a == b) {
        let value = if run[0] { 255 } else { 0 };
        let mut left = CHANNELS * run.len() as u64;
        while left > 0 {
            let fits = WIDTHS.iter().position(|width| left <= 1 << width);
            let choice = fits.unwrap_or(WIDTHS.len() - 1);
            let length = left.min(1 << WIDTHS[choice]);
            bits.push(1, 1);
            bits.push(choice as u64, 2);
            bits.push(length - 1, WIDTHS[choice]);
            bits.push(value, WORD);
            left -= length;
        }
    }
    bits.bytes
}

/// A stream, most significant bit first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u64, width: u32) {
        for place in (0..width).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> place & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder after the public description of the format.
    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut place = 0;
        let mut read = |width: usize| {
            let value = (place..place + width).fold(0usize, |value, bit| {
                value << 1 | usize::from(bytes[bit / 8] >> (7 - bit % 8) & 1)
            });
            place += width;
            value
        };
        let count = read(32);
        let word = read(5) + 1;
        let widths: Vec<_> = (0..4).map(|_| read(4) + 1).collect();
        let mut values = Vec::new();
        while values.len() < count {
            let same = read(1) == 1;
            let choice = read(2);
            let length = read(widths[choice]) + 1;
            match same {
                true => {
                    let value = read(word) as u8;
                    values.extend(std::iter::repeat_n(value, length));
                }
                false => values.extend((0..length).map(|_| read(word) as u8)),
            }
        }
        values
    }

    #[test]
    fn every_length_of_run_comes_back() {
        for runs in
            [&[1, 1, 2, 3][..], &[0, 5, 63, 65, 64], &[20_000, 16_384, 16_385, 40_000], &[7]]
        {
            let pixels: Vec<bool> = (runs.iter().enumerate())
                .flat_map(|(index, &run)| std::iter::repeat_n(index % 2 == 1, run))
                .collect();
            let mask = Bitmap::from_pixels(1, pixels.len(), pixels.clone()).unwrap();
            let expected: Vec<u8> =
                pixels.iter().flat_map(|&pixel| [if pixel { 255 } else { 0 }; 4]).collect();
            assert_eq!(decode(&encode_brush(&mask)), expected, "{runs:?}");
        }
    }

    /// `label_studio_sdk.converter.brush.mask2rle(numpy.array([[0, 255, 255]], dtype=numpy.uint8))` but for
    /// the byte of zeros that it adds to a whole stream.
    #[test]
    fn the_bytes_are_label_studios() {
        let mask = Bitmap::from_bytes(1, 3, &[0, 1, 1]).unwrap();
        assert_eq!(encode_brush(&mask), [0, 0, 0, 12, 57, 27, 252, 96, 19, 255, 128]);
    }
}
