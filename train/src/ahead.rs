//! Steps and validation passes, prepared before they are needed.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::mix::MixError;

/// Items that wait to be received, at most.
const READY: usize = 2;

/// Prepares numbered items on a thread of its own, in order. The first error is the last item; the
/// thread ends when nobody receives any more.
pub(crate) fn prepare_ahead<T: Send + 'static>(
    numbers: Range<usize>,
    prepare: impl Fn(usize) -> Result<T, MixError> + Send + 'static,
) -> Receiver<Result<T, MixError>> {
    let (sender, receiver) = sync_channel(READY);
    thread::spawn(move || {
        for number in numbers {
            let item = prepare(number);
            let failed = item.is_err();
            if sender.send(item).is_err() || failed {
                break;
            }
        }
    });
    receiver
}
