//! Queue in front of the model.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyref_api::{Outcome, Problem};
use anyref_core::EngineInfo;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Span;

use crate::conversations::Conversations;
use crate::fair_queue::FairQueue;
use crate::metrics::ModelMetrics;
use crate::options::Limits;
use crate::pictures::Pictures;
use crate::ticket::Stay;
use crate::work::{Job, Reply, Work};

/// Client of the server; clients are served in turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client(pub(crate) String);

/// Availability of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The model runs, or is loaded when it is asked.
    Ready,
    /// The model failed and is being restarted.
    Restarting,
    /// The server is closing.
    Closing,
}

#[derive(Debug)]
struct Waiting {
    jobs: FairQueue<Client, Job>,
    status: Status,
    /// Whether the model is to be dropped once nothing waits.
    rest: bool,
    /// Number of models that wait to be loaded until this one is dropped.
    in_the_way: usize,
}

/// Next thing for a model's thread to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Work to compute together.
    Batch(Vec<Job>),
    /// Dropping of the model until it is asked again.
    Rest,
}

/// Queue, with the data kept of the engine behind it.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Number of requests that are about to enter the queue.
    coming: AtomicUsize,
    /// The engine, as it was loaded last.
    info: RwLock<Option<Arc<EngineInfo>>>,
    /// Memory of the loaded model in bytes, 0 while there is none.
    resident: AtomicU64,
    /// Whether the model did not load when it was asked last.
    unloadable: AtomicBool,
    pub(crate) pictures: Pictures,
    pub(crate) conversations: Conversations,
    pub(crate) limits: Limits,
    pub(crate) metrics: ModelMetrics,
}

/// Request that is about to enter the queue; while there are any, the engine waits a moment for a
/// larger batch.
#[derive(Debug)]
pub(crate) struct Coming<'a>(&'a Queue);

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Queue {
    /// The queue of a model that is not loaded yet.
    pub(crate) fn new(limits: Limits, metrics: ModelMetrics) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: FairQueue::default(),
                status: Status::Ready,
                rest: false,
                in_the_way: 0,
            }),
            changed: Condvar::new(),
            coming: AtomicUsize::new(0),
            info: RwLock::default(),
            resident: AtomicU64::new(0),
            unloadable: AtomicBool::new(false),
            pictures: Pictures::new(limits.cache_bytes, metrics.clone()),
            conversations: Conversations::new(limits.conversations),
            limits,
            metrics,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine, as it was loaded last; none before the first time.
    pub(crate) fn info(&self) -> Option<Arc<EngineInfo>> {
        self.info
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Availability of the model.
    pub(crate) fn status(&self) -> Status {
        self.waiting().status
    }

    /// Sets the availability of the model; a closing server stays closing.
    pub(crate) fn set_status(&self, status: Status) {
        let mut waiting = self.waiting();
        if waiting.status != Status::Closing {
            waiting.status = status;
        }
        self.changed.notify_all();
    }

    /// Memory of the loaded model in bytes, 0 while there is none.
    pub(crate) fn resident(&self) -> u64 {
        self.resident.load(Ordering::Acquire)
    }

    /// A request that will ask soon, until the result is dropped.
    pub(crate) fn coming(&self) -> Coming<'_> {
        self.coming.fetch_add(1, Ordering::AcqRel);
        Coming(self)
    }

    /// Queues work and waits for its result. Dropping the future drops the work.
    pub(crate) async fn ask<T>(
        &self,
        client: &Client,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Outcome<T> {
        let (reply, result) = oneshot::channel();
        let stay = Stay::default();
        self.push(client, work(reply), &stay)?;
        match timeout(self.limits.answer, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) if self.unloadable.load(Ordering::Acquire) => Err(not_loaded()),
            Ok(Err(_)) => Err(Problem::engine_failed()),
            Err(_) => {
                let seconds = self.limits.answer.as_secs();
                let message = format!("the answer took more than {seconds} s: ask again later");
                Err(Problem::later("timeout", message, 10))
            }
        }
    }

    fn push(&self, client: &Client, work: Work, stay: &Stay) -> Outcome<()> {
        let mut waiting = self.waiting();
        match waiting.status {
            Status::Ready => {}
            Status::Restarting => return Err(Problem::engine_failed()),
            Status::Closing => {
                return Err(Problem::later(
                    "closing",
                    "the server is ending: ask another one",
                    5,
                ));
            }
        }
        if waiting.jobs.len() >= self.limits.queue {
            let before = waiting.jobs.len();
            waiting.jobs.retain(|job| !job.ticket.is_gone());
            let left = before - waiting.jobs.len();
            self.metrics.server.left.inc_by(left as u64);
        }
        if waiting.jobs.len() >= self.limits.queue {
            let message = format!(
                "{} requests wait already: ask again soon",
                waiting.jobs.len()
            );
            return Err(Problem::later("queue_full", message, 2));
        }
        let job = Job {
            work,
            ticket: stay.ticket(),
            since: Instant::now(),
            span: Span::current(),
        };
        waiting.jobs.push(client.clone(), job);
        self.metrics.queue.set(waiting.jobs.len() as i64);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for work, and a moment for more if requests are announced; `None` once the queue is
    /// closed and empty.
    pub(crate) fn next_turn(&self) -> Option<Turn> {
        let mut waiting = self.waiting();
        while waiting.jobs.len() == 0 {
            if waiting.status == Status::Closing {
                return None;
            }
            if std::mem::take(&mut waiting.rest) {
                return Some(Turn::Rest);
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // Whoever is asked goes on.
        waiting.rest = false;
        let end = Instant::now() + self.limits.window;
        loop {
            let length = waiting.jobs.len();
            let more = self.coming.load(Ordering::Acquire) > 0;
            let left = end.saturating_duration_since(Instant::now());
            if !more || length >= self.limits.batch || left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut jobs = Vec::new();
        while jobs.len() < self.limits.batch {
            match waiting.jobs.pop() {
                Some(job) => jobs.push(job),
                None => break,
            }
        }
        self.metrics.queue.set(waiting.jobs.len() as i64);
        Some(Turn::Batch(jobs))
    }

    /// Asks for the model to be dropped once nothing waits, and waits at most `time` for it.
    /// Returns whether none is loaded then. A model that was busy rests later if it still has to,
    /// see [`in_the_way`](Self::in_the_way).
    pub(crate) fn rests_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut waiting = self.waiting();
        waiting.rest = true;
        waiting.in_the_way += 1;
        self.changed.notify_all();
        while self.resident() > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || waiting.status == Status::Closing {
                break;
            }
            let woken = self.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.in_the_way -= 1;
        self.resident() == 0
    }

    /// Returns whether another model waits to be loaded until this one is dropped. One that waited
    /// in vain has been loaded, or has failed, and needs the room no longer.
    pub(crate) fn in_the_way(&self) -> bool {
        self.waiting().in_the_way > 0
    }

    /// Notes that the engine was dropped, with what belongs to it.
    pub(crate) fn dropped(&self) {
        self.pictures.clear();
        self.conversations.clear();
        self.metrics.model_bytes.set(0);
        self.resident.store(0, Ordering::Release);
        let _waiting = self.waiting();
        self.changed.notify_all();
    }

    /// Notes that the model does not load; who waits for it is told so.
    pub(crate) fn not_loaded(&self) {
        self.unloadable.store(true, Ordering::Release);
        self.fail_all();
    }

    /// Drops all that waits, whose clients see a failed engine.
    pub(crate) fn fail_all(&self) {
        let mut waiting = self.waiting();
        waiting.jobs.retain(|_| false);
        self.metrics.queue.set(0);
    }

    /// Switches to another engine.
    pub(crate) fn started(&self, info: &EngineInfo) {
        let mut place = self.info.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(info.clone()));
        drop(place);
        self.resident.store(info.bytes().max(1), Ordering::Release);
        self.metrics.model_bytes.set(info.bytes() as i64);
        self.unloadable.store(false, Ordering::Release);
        self.set_status(Status::Ready);
    }

    /// Waits for `time`; returns whether the server closed meanwhile.
    pub(crate) fn closed_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut waiting = self.waiting();
        loop {
            if waiting.status == Status::Closing {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn not_loaded() -> Problem {
    let message =
        "the model does not load: the server's log says why; ask another one of /v1/models";
    Problem::later("model_not_loaded", message, 30)
}
