//! Work on the next items while somebody uses the present one.

use std::sync::mpsc::sync_channel;
use std::thread::{self, Scope};

/// The most threads, and so the most items that wait.
const THREADS: usize = 4;

/// The results of `make`, in the order of the items, each made on one of a few threads before it is
/// asked for. At most four wait or are being made. The threads end when the iterator is dropped.
///
/// # Panics
/// The scope does, once it ends, if `make` has; the iterator ends before that item.
pub fn make_ahead<'scope, T: Sync, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    items: &'scope [T],
    make: impl Fn(&'scope T) -> R + Clone + Send + 'scope,
) -> impl Iterator<Item = R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS).min(items.len());
    // Each thread makes every so-manieth item and holds it until it is taken.
    let threads = (0..threads).map(|first| {
        let (make, (send, receive)) = (make.clone(), sync_channel(0));
        scope.spawn(move || {
            let mut own = items.iter().skip(first).step_by(threads);
            own.try_for_each(|item| send.send(make(item)))
        });
        receive
    });
    let threads: Vec<_> = threads.collect();
    (0..items.len()).map_while(move |item| threads[item % threads.len()].recv().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_and_few_wait() {
        let items: Vec<usize> = (0..40).collect();
        let (made, mut taken) = (AtomicUsize::new(0), 0);
        let make = |&item: &usize| {
            thread::sleep(Duration::from_micros(if item.is_multiple_of(3) { 900 } else { 100 }));
            made.fetch_add(1, SeqCst);
            item * item
        };
        thread::scope(|scope| {
            for (result, item) in make_ahead(scope, &items, make).zip(&items) {
                taken += 1;
                assert_eq!(result, item * item);
                // What is made and not taken is held by a thread.
                assert!(made.load(SeqCst) <= taken + THREADS);
            }
        });
        assert_eq!((taken, made.into_inner()), (40, 40));
    }

    #[test]
    fn whoever_stops_early_stops_the_threads() {
        let items: Vec<usize> = (0..1_000_000).collect();
        let made = AtomicUsize::new(0);
        let make = |_: &usize| made.fetch_add(1, SeqCst);
        let taken = thread::scope(|scope| make_ahead(scope, &items, make).take(3).count());
        assert_eq!(taken, 3);
        assert!(made.into_inner() <= 3 + THREADS);
    }
}
