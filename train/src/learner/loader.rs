//! Steps and validation passes as burn-train's data loaders, prepared ahead on threads of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;

use super::trainee::StepInput;
use crate::mix::{DataMix, MixError};
use crate::validation::{ValidationItem, ValidationSet};

/// How many items are ready before they are asked for.
const AHEAD: usize = 2;

/// Anything that has numbered items.
pub trait Numbered<T>: Send + Sync + 'static {
    /// Item number `index`.
    ///
    /// # Errors
    /// [`MixError`].
    fn numbered(&self, index: usize) -> Result<T, MixError>;
}

impl Numbered<StepInput> for DataMix {
    fn numbered(&self, index: usize) -> Result<StepInput, MixError> {
        Ok(StepInput { step: index, batches: self.step(index)? })
    }
}

impl Numbered<ValidationItem> for ValidationSet {
    fn numbered(&self, index: usize) -> Result<ValidationItem, MixError> {
        self.item(index)
    }
}

/// A stretch of numbered items.
pub struct Loader<S> {
    source: Arc<S>,
    start: usize,
    end: usize,
}

impl<S> Loader<S> {
    /// Items `start..end`.
    pub fn new(source: Arc<S>, start: usize, end: usize) -> Self {
        Self { source, start, end: end.max(start) }
    }
}

impl<T: Send + 'static, S: Numbered<T>> DataLoader<T> for Loader<S> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<T> + 'a> {
        let (sender, receiver) = sync_channel(AHEAD);
        let (source, range) = (self.source.clone(), self.start..self.end);
        // Ends by itself when nobody listens any more.
        thread::spawn(move || {
            for index in range {
                let item = source.numbered(index);
                let failed = item.is_err();
                if sender.send(item).is_err() || failed {
                    break;
                }
            }
        });
        Box::new(Ahead { receiver, done: 0, total: self.num_items() })
    }

    fn num_items(&self) -> usize {
        self.end - self.start
    }

    /// Items are on no device.
    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<T>> {
        Arc::new(Self::new(self.source.clone(), self.start, self.end))
    }

    /// By the numbers of the items, not relative to this stretch.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<T>> {
        Arc::new(Self::new(self.source.clone(), start.max(self.start), end.min(self.end)))
    }
}

struct Ahead<T> {
    receiver: Receiver<Result<T, MixError>>,
    done: usize,
    total: usize,
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<T, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done == self.total {
            return None;
        }
        self.done += 1;
        match self.receiver.recv() {
            Ok(Ok(item)) => Some(Ok(item)),
            Ok(Err(error)) => Some(Err(DatasetError::new(error))),
            // It sends whatever it has before it ends, unless it panicked.
            Err(_) => Some(Err(DatasetError::new(std::io::Error::other(
                "the thread that prepares examples stopped in the middle",
            )))),
        }
    }
}

impl<T> DataLoaderIterator<T> for Ahead<T> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.total, Some("steps".into()))
    }
}

/// No items.
pub struct Nothing;

impl<T: Send + 'static> DataLoader<T> for Nothing {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<T> + 'a> {
        let (_, receiver) = sync_channel(AHEAD);
        Box::new(Ahead { receiver, done: 0, total: 0 })
    }

    fn num_items(&self) -> usize {
        0
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<T>> {
        Arc::new(Self)
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<T>> {
        Arc::new(Self)
    }
}
