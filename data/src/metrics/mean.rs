//! Means and shares that do not depend on the order of their samples.

use std::collections::BTreeMap;

use super::protocol::Protocol;

/// The mean of numbers from 0 to 1, independent of their order.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    /// Their sum in units of 2^-53: an f64 from 0 to 1 loses less than one unit.
    units: u128,
    n: u64,
}

impl Mean {
    const UNITS: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;

    fn add(&mut self, value: f64) {
        self.units += (value * Self::UNITS) as u128;
        self.n += 1;
    }

    fn merge(&mut self, other: Self) {
        self.units += other.units;
        self.n += other.n;
    }

    fn value(self) -> Option<f64> {
        (self.n > 0).then(|| self.units as f64 / Self::UNITS / self.n as f64)
    }
}

/// The mean IoU: over expressions, or within each image and then over the images.
#[derive(Debug, Clone)]
pub(super) struct MeanIou {
    by_image: bool,
    /// One mean for each image, or a single one under `None`.
    means: BTreeMap<Option<u64>, Mean>,
}

impl MeanIou {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { by_image: protocol == Protocol::Released, means: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, image: u64, iou: f64) {
        self.means.entry(self.by_image.then_some(image)).or_default().add(iou);
    }

    /// Adds another one of the same protocol.
    pub(super) fn merge(&mut self, other: &Self) {
        for (&image, &mean) in &other.means {
            self.means.entry(image).or_default().merge(mean);
        }
    }

    pub(super) fn value(&self) -> Option<f64> {
        if !self.by_image {
            return self.means.get(&None)?.value();
        }
        let mut over_images = Mean::default();
        self.means.values().filter_map(|mean| mean.value()).for_each(|iou| over_images.add(iou));
        over_images.value()
    }
}

/// `part` of `whole` in percent, or `None` when there is no whole.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}
