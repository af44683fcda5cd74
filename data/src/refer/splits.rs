//! The parts that a data set is split into, and which refs belong to each.

use std::fmt;
use std::str::FromStr;

use super::ReferError;

/// A split to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// `testAB`, to the letter.
    TestAB,
    /// `testAC`, to the letter.
    TestAC,
    /// `testBC`, to the letter.
    TestBC,
}

impl Split {
    /// Every split, in the order of the published protocol.
    pub const ALL: [Self; 9] = [
        Self::Train,
        Self::Val,
        Self::Test,
        Self::TestA,
        Self::TestB,
        Self::TestC,
        Self::TestAB,
        Self::TestAC,
        Self::TestBC,
    ];

    /// The name as the files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::TestA => "testA",
            Self::TestB => "testB",
            Self::TestC => "testC",
            Self::TestAB => "testAB",
            Self::TestAC => "testAC",
            Self::TestBC => "testBC",
        }
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

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = ReferError;

    fn from_str(name: &str) -> Result<Self, ReferError> {
        Self::ALL.into_iter().find(|split| split.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|split| split.name()).collect();
            ReferError::no_such("split", name, format!("known are {}", known.join(", ")))
        })
    }
}
