//! Work on the next items while somebody uses the present one.

use std::sync::mpsc::sync_channel;
use std::thread::Scope;

use burn::module::Module;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::segmenter::Segmenter;

/// The most threads that read, and so the most items that wait.
const READERS: usize = 4;
/// Parameters of a network whose operations are too small to be shared by cores. At the tiny model's 2
/// million an `eval` on two cores takes 0.58 of the time (docs/book/src/performance.md); each image that is
/// under way takes memory, so larger ones are answered one after another.
const SMALL: usize = 50_000_000;

/// The answers to all items, in their order: `answer` gets an item and what `read` made of it.
///
/// A large network, or a GPU, answers one item after another, while the next ones are read on a few
/// threads. A small network on the CPU answers as many at once as there are cores, each on one core.
///
/// # Panics
/// The scope does, once it ends, if a function has.
pub fn answer_all<'scope, T: Sync, M: Send + 'scope, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    segmenter: &Segmenter,
    items: &'scope [T],
    read: impl Fn(&'scope T) -> M + Clone + Send + Sync + 'scope,
    answer: impl Fn(&'scope T, M) -> R + Clone + Send + Sync + 'scope,
) -> Box<dyn Iterator<Item = R> + 'scope> {
    let is_small = segmenter.device.id == "cpu" && segmenter.model.num_params() < SMALL;
    if is_small && items.len() > 1 {
        let on_one_core = move |item| on_one_core(|| answer(item, read(item)));
        return Box::new(make_ahead(scope, rayon::current_num_threads(), items, on_one_core));
    }
    let made = make_ahead(scope, READERS, items, read);
    Box::new(items.iter().zip(made).map(move |(item, made)| answer(item, made)))
}

/// Computes on the present thread alone, what asks for several threads too.
fn on_one_core<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread_local! {
        static ALONE: Result<ThreadPool, ThreadPoolBuildError> =
            ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    }
    // Without the pool, which only saves time, the threads of all are asked.
    ALONE.with(|pool| match pool {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    })
}

/// The results of `make`, in the order of the items, each made on one of so many threads before it is
/// asked for. As many wait or are being made. The threads end when the iterator is dropped.
///
/// # Panics
/// The scope does, once it ends, if `make` has; the iterator ends before that item.
fn make_ahead<'scope, T: Sync, R: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    items: &'scope [T],
    make: impl Fn(&'scope T) -> R + Clone + Send + Sync + 'scope,
) -> impl Iterator<Item = R> {
    let threads = threads.min(rayon::current_num_threads()).min(items.len());
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
    use std::thread;
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
            for (result, item) in make_ahead(scope, READERS, &items, make).zip(&items) {
                taken += 1;
                assert_eq!(result, item * item);
                // What is made and not taken is held by a thread.
                assert!(made.load(SeqCst) <= taken + READERS);
            }
        });
        assert_eq!((taken, made.into_inner()), (40, 40));
    }

    #[test]
    fn whoever_stops_early_stops_the_threads() {
        let items: Vec<usize> = (0..1_000_000).collect();
        let made = AtomicUsize::new(0);
        let make = |_: &usize| made.fetch_add(1, SeqCst);
        let taken = thread::scope(|scope| make_ahead(scope, READERS, &items, make).take(3).count());
        assert_eq!(taken, 3);
        assert!(made.into_inner() <= 3 + READERS);
    }
}
