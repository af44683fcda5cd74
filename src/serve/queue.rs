//! A bounded queue from the connections to the worker.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What waits, in order.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// Why nothing more is taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    Closed,
}

impl<T> Queue<T> {
    pub fn new(limit: usize) -> Self {
        let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
        Self { state, arrived: Condvar::new(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.limit {
            return Err(Refused::Full);
        }
        state.waiting.push_back(item);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next item; none after [`close`](Self::close).
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.pop_front()
    }

    /// Takes everything that waits and fits.
    pub fn take_all(&self, fits: impl Fn(&T) -> bool) -> Vec<T> {
        let mut state = self.lock();
        let (taken, left) = std::mem::take(&mut state.waiting).into_iter().partition(fits);
        state.waiting = left;
        Vec::from(taken)
    }

    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Refuses what comes, and drops what waits.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_and_ends() {
        let queue = Queue::new(2);
        assert_eq!(
            (queue.push(1), queue.push(2), queue.push(3)),
            (Ok(()), Ok(()), Err(Refused::Full))
        );
        assert_eq!(queue.take_all(|item| *item == 2), [2]);
        assert_eq!(queue.pop(), Some(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.pop());
            queue.close();
            assert_eq!(waiting.join().unwrap(), None);
        });
        assert_eq!(queue.push(4), Err(Refused::Closed));
    }
}
