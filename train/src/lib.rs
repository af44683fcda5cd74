//! Training MLLMSeg (losses, recipe, optimizer, trainer, snapshots).
