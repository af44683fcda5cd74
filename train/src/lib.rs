//! Training MLLMSeg: losses, recipe, optimizer, trainer and snapshots.
#![warn(missing_docs)]
