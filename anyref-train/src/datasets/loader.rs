//! Threads that read ahead, so that the device does not wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::{Error, Result};
use super::mixture::{Order, Sample};

/// How far and on how many threads it is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Threads.
    pub threads: usize,
    /// Samples that may be ready or under way before they are asked for.
    pub ahead: usize,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            threads: 2,
            ahead: 16,
        }
    }
}

/// Gives samples in their order, whatever thread finished first.
#[derive(Debug)]
pub struct Loader<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
    len: usize,
    start: Instant,
    waited: Duration,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    ahead: usize,
}

#[derive(Debug)]
struct State<T> {
    /// Next sample to be begun.
    claimed: usize,
    /// Next sample to be given out.
    taken: usize,
    ready: BTreeMap<usize, Result<T>>,
    stopped: bool,
    /// A thread ended in a panic.
    broken: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State<T>>) -> MutexGuard<'s, State<T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Says so when its thread panics.
struct Alarm<'s, T>(&'s Shared<T>);

impl<T> Drop for Alarm<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
            self.0.changed.notify_all();
        }
    }
}

impl<T: Send + 'static> Loader<T> {
    /// Starts reading: `work` makes of a sample what training needs. To resume, leave out what was done
    /// of the order.
    pub fn start(
        order: Order,
        config: LoaderConfig,
        work: impl Fn(Sample) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let samples = Arc::new(order.samples);
        let work = Arc::new(work);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                claimed: 0,
                taken: 0,
                ready: BTreeMap::new(),
                stopped: false,
                broken: false,
            }),
            changed: Condvar::new(),
            ahead: config.ahead.max(1),
        });
        let len = samples.len();
        let threads = (0..config.threads.max(1)).map(|_| {
            let (shared, samples, work) = (shared.clone(), samples.clone(), work.clone());
            std::thread::spawn(move || read_ahead(&shared, &samples, &*work))
        });
        Self {
            threads: threads.collect(),
            shared,
            len,
            start: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    /// Share of the time since the start that was spent waiting for samples, 0 to 1.
    pub fn stall(&self) -> f64 {
        let passed = self.start.elapsed().as_secs_f64();
        if passed > 0.0 {
            (self.waited.as_secs_f64() / passed).min(1.0)
        } else {
            0.0
        }
    }
}

impl<T: Send + 'static> Iterator for Loader<T> {
    type Item = Result<T>;

    /// The next sample; an error is that of its own sample, and the ones after it can be had. After a
    /// panic of a thread there is one [`Error::Thread`], and no more.
    fn next(&mut self) -> Option<Result<T>> {
        let asked = Instant::now();
        let mut state = self.shared.lock();
        let sample = loop {
            let place = state.taken;
            if place == self.len || state.stopped {
                break None;
            }
            if let Some(sample) = state.ready.remove(&place) {
                state.taken += 1;
                break Some(sample);
            }
            if state.broken {
                state.stopped = true;
                break Some(Err(Error::Thread));
            }
            state = self.shared.wait(state);
        };
        drop(state);
        self.shared.changed.notify_all();
        self.waited += asked.elapsed();
        sample
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was reported as an error before.
            let _ = thread.join();
        }
    }
}

fn read_ahead<T>(shared: &Shared<T>, samples: &[Sample], work: &dyn Fn(Sample) -> Result<T>) {
    let _alarm = Alarm(shared);
    loop {
        let mut state = shared.lock();
        let place = loop {
            if state.stopped || state.broken || state.claimed == samples.len() {
                return;
            }
            if state.claimed < state.taken + shared.ahead {
                break state.claimed;
            }
            state = shared.wait(state);
        };
        state.claimed += 1;
        drop(state);
        let result = work(samples[place]);
        shared.lock().ready.insert(place, result);
        shared.changed.notify_all();
    }
}
