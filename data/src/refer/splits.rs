//! The parts that a data set is split into, and which refs belong to each.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::ReferError;

/// A split to ask for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "camelCase", parse_err_ty = ReferError, parse_err_fn = unknown)]
pub enum Split {
    /// `train`.
    Train,
    /// `val`.
    Val,
    /// `test`: every split with "test" in its name.
    Test,
    /// `testA`: every split with an A in its name, so `testAB` too.
    TestA,
    /// `testB`: every split with a B in its name.
    TestB,
    /// `testC`: every split with a C in its name (refclef).
    TestC,
    /// `testAB`, to the letter; the next two likewise.
    #[strum(serialize = "testAB")]
    TestAB,
    /// `testAC`.
    #[strum(serialize = "testAC")]
    TestAC,
    /// `testBC`.
    #[strum(serialize = "testBC")]
    TestBC,
}

impl Split {
    /// Every split, in the order of the published protocol.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name as the files write it.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether a ref marked `marked` belongs to this split: the rule of the published reader
    /// (`getRefIds` of `refer.py`), by which one ref may belong to several.
    pub fn includes(self, marked: &str) -> bool {
        match self {
            Self::TestA => marked.contains('A'),
            Self::TestB => marked.contains('B'),
            Self::TestC => marked.contains('C'),
            Self::Test => marked.contains("test"),
            exact => marked == exact.name(),
        }
    }
}

fn unknown(name: &str) -> ReferError {
    ReferError::unknown("split", name, Split::ALL)
}
