//! Work on threads ahead of the model, which takes the results in order.

use std::collections::VecDeque;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Largest number of threads.
const THREADS: usize = 4;
/// Largest number of results that are ready or under way before they are taken.
const AHEAD: usize = 16;

/// Hands `take` the results of `work` for all jobs, in the order of the jobs. Up to a small number
/// of jobs are begun in advance; those not begun when `take` returns are dropped.
///
/// # Panics
/// When `work` does.
pub(super) fn prefetch<J: Send, T: Send, R>(
    jobs: impl IntoIterator<Item = J>,
    work: impl Fn(J) -> T + Sync,
    take: impl FnOnce(&mut dyn Iterator<Item = T>) -> R,
) -> R {
    let (to_threads, jobs_in) = mpsc::channel::<(J, mpsc::Sender<T>)>();
    let (jobs_in, stopped) = (Mutex::new(jobs_in), AtomicBool::new(false));
    let one_thread = || {
        loop {
            let job = jobs_in
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            match job {
                Ok((job, result)) if !stopped.load(Ordering::Relaxed) => {
                    // The receiver is gone if `take` has returned meanwhile.
                    let _ = result.send(work(job));
                }
                _ => return,
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads.min(THREADS) {
            scope.spawn(one_thread);
        }
        let (mut jobs, mut under_way) = (jobs.into_iter(), VecDeque::new());
        let mut results = iter::from_fn(|| {
            while under_way.len() < AHEAD
                && let Some(job) = jobs.next()
            {
                let (result, receiver) = mpsc::channel();
                to_threads.send((job, result)).ok()?;
                under_way.push_back(receiver);
            }
            // A panicked thread ends the results; its panic is propagated at the end of the scope.
            under_way.pop_front()?.recv().ok()
        });
        let taken = take(&mut results);
        stopped.store(true, Ordering::Relaxed);
        drop(to_threads);
        taken
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_keep_the_order_of_jobs_that_take_differently_long() {
        let work = |job: u64| {
            thread::sleep(Duration::from_millis(job % 7));
            job * job
        };
        let squares: Vec<u64> = prefetch(0..50, work, |results| results.collect());
        assert_eq!(squares, (0..50).map(|job| job * job).collect::<Vec<_>>());
    }

    #[test]
    fn an_endless_list_of_jobs_is_begun_only_so_far() {
        let begun = AtomicUsize::new(0);
        let work = |job: usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            job
        };
        let three: Vec<usize> = prefetch(0.., work, |results| results.take(3).collect());
        assert_eq!(three, [0, 1, 2]);
        assert!(begun.load(Ordering::Relaxed) <= 3 + AHEAD);
    }

    #[test]
    fn a_panic_of_a_thread_is_not_lost() {
        let work = |job: u32| assert!(job != 5, "five");
        let run = || prefetch(0..20, work, |results| results.count());
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
