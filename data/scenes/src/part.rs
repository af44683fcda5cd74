//! The parts of a data set.

use strum::{IntoStaticStr, VariantArray};

/// The parts of a data set. They share no scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum Part {
    /// For training.
    Train,
    /// For validation.
    Val,
    /// The first part for testing.
    TestA,
    /// The second part for testing.
    TestB,
}

impl Part {
    /// Every part, in the order of the files.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name of the part in the files: "train", "val", "testA" or "testB".
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The index of scene number `number` (below 2^62) of this part, for
    /// [`generate`](crate::generate).
    pub fn index(self, number: u64) -> u64 {
        (self as u64) << 62 | number & (u64::MAX >> 2)
    }
}
