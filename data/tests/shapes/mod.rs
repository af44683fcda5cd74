//! The random shapes of `tests/oracle/mask_shapes.py`, number for number.
#![allow(dead_code, reason = "each test program uses its own share of this module")]

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::from_seed(seed.to_le_bytes()))
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * 2f64.powi(-53)
    }
}

/// `count` points, each coordinate drawn for its side of the image.
fn points(
    random: &mut Random,
    count: usize,
    sides: [f64; 2],
    draw: impl Fn(&mut Random, f64) -> f64,
) -> Vec<f64> {
    (0..2 * count).map(|i| draw(random, sides[i % 2])).collect()
}

/// One part of 3 or more points.
fn polygon(
    random: &mut Random,
    counts: usize,
    sides: [f64; 2],
    draw: impl Fn(&mut Random, f64) -> f64,
) -> Vec<Vec<f64>> {
    let count = 3 + random.below(counts);
    vec![points(random, count, sides, draw)]
}

/// (height, width, parts): shape number `index`, of kind `index % 10`.
pub fn shape(index: u64) -> (usize, usize, Vec<Vec<f64>>) {
    let r = &mut Random::new(index);
    let (mut height, mut width) = (1 + r.below(64), 1 + r.below(64));
    let sides = [width as f64, height as f64];
    let within =
        |low: f64, span: f64| move |r: &mut Random, side: f64| (r.uniform() * span + low) * side;
    let parts = match index % 10 {
        0 => polygon(r, 10, sides, within(0.0, 1.0)),
        1 => polygon(r, 8, sides, within(-1.0, 3.0)),
        2 => polygon(r, 8, sides, |r, side| r.below(10 * side as usize + 1) as f64 / 10.0),
        3 => polygon(r, 8, sides, |r, side| r.below(side as usize + 1) as f64),
        4 => {
            let few = 1 + r.below(3);
            let few: Vec<_> = (0..few).map(|_| points(r, 1, sides, within(-0.25, 1.5))).collect();
            let count = 3 + r.below(6);
            vec![(0..count).flat_map(|_| few[r.below(few.len())].clone()).collect()]
        }
        5 => {
            let parts = 1 + r.below(5);
            let part = |_| {
                let count = r.below(7);
                points(r, count, sides, within(-0.125, 1.25))
            };
            (0..parts).map(part).collect()
        }
        6 => {
            (height, width) = (1 + height % 4, 1 + width % 4);
            let quarter = |r: &mut Random, side| r.below(4 * side as usize + 9) as f64 / 4.0 - 1.0;
            polygon(r, 6, [width as f64, height as f64], quarter)
        }
        7 => polygon(r, 3, sides, |r, _| (r.uniform() - 0.5) * 60000.0),
        8 => {
            (height, width) = (100 + r.below(381), 100 + r.below(541));
            vec![outline(r, height, width)]
        }
        _ => {
            let border = |r: &mut Random, s: f64| {
                [0.0, -0.5, 0.5, s - 0.5, s, s + 0.5, s / 2.0, -s, s * 2.0][r.below(9)]
            };
            polygon(r, 5, sides, border)
        }
    };
    (height, width, parts)
}

/// An annotator's outline: many close points, in hundredths of a pixel.
fn outline(r: &mut Random, height: usize, width: usize) -> Vec<f64> {
    let mut x = r.below(100 * width) as i64;
    let mut y = r.below(100 * height) as i64;
    let mut part = Vec::new();
    for _ in 0..20 + r.below(60) {
        part.extend([x as f64 / 100.0, y as f64 / 100.0]);
        x = (x + r.below(6001) as i64 - 3000).clamp(0, 100 * width as i64);
        y = (y + r.below(6001) as i64 - 3000).clamp(0, 100 * height as i64);
    }
    part
}

/// (height, width, first, second): two masks of one size, row by row.
pub fn random_pixels(index: u64) -> (usize, usize, Vec<bool>, Vec<bool>) {
    let r = &mut Random::new(1_000_000 + index);
    let (height, width) = (1 + r.below(40), 1 + r.below(40));
    let mut pixels = || {
        let foreground = r.below(9) as f64 / 8.0;
        let repeat = r.below(4) as f64 / 4.0;
        let mut last = false;
        let pixel = |_| {
            if r.uniform() >= repeat {
                last = r.uniform() < foreground;
            }
            last
        };
        (0..height * width).map(pixel).collect()
    };
    (height, width, pixels(), pixels())
}
