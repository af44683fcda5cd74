//! One of several parts of a benchmark, for machines that share it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The `number`-th of `count` parts, written `3/8`: every `count`-th image, so that parts are alike.
///
/// ```
/// let shard: mllmseg::evaluate::Shard = "3/8".parse()?;
/// assert_eq!((shard.number(), shard.count()), (3, 8));
/// # Ok::<(), mllmseg::evaluate::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    number: usize,
    count: usize,
}

/// What is no shard.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("expected K/N with K from 1 to N, such as 3/8, found {0}")]
pub struct ShardError(String);

impl Shard {
    /// From 1 to the count.
    pub fn number(self) -> usize {
        self.number
    }

    /// Into how many parts the benchmark is divided.
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether the image of this index belongs to the part.
    pub(super) fn has(self, image: usize) -> bool {
        image % self.count == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            Some(Self { number: number.parse().ok()?, count: count.parse().ok()? })
        });
        let shard = numbers.filter(|shard| (1..=shard.count).contains(&shard.number));
        shard.ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_from_one() {
        for text in ["", "3", "0/8", "9/8", "1/0", "-1/8", "1/8/2", "a/b", "1/99999999999999999999"]
        {
            let error = text.parse::<Shard>().unwrap_err();
            assert_eq!(error, ShardError(text.into()));
        }
        let shards = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>().unwrap());
        let owners = (0..7).map(|image| shards.map(|shard| shard.has(image)));
        let numbers = owners.map(|owners| owners.iter().position(|&owns| owns).unwrap());
        assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(shards[1].to_string(), "2/3");
    }
}
