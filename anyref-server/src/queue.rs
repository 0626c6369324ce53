//! Queue in front of the model.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyref_api::{Outcome, Problem};
use anyref_core::EngineInfo;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::conversations::Conversations;
use crate::fair_queue::FairQueue;
use crate::metrics::Metrics;
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
    /// The model runs.
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
}

/// Queue, with the data kept of the engine behind it.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Number of requests that are about to enter the queue.
    coming: AtomicUsize,
    info: RwLock<Arc<EngineInfo>>,
    pub(crate) pictures: Pictures,
    pub(crate) conversations: Conversations,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
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
    pub(crate) fn new(limits: Limits, info: &EngineInfo, metrics: Arc<Metrics>) -> Self {
        metrics.model_bytes.set(info.bytes() as i64);
        Self {
            waiting: Mutex::new(Waiting {
                jobs: FairQueue::default(),
                status: Status::Ready,
            }),
            changed: Condvar::new(),
            coming: AtomicUsize::new(0),
            info: RwLock::new(Arc::new(info.clone())),
            pictures: Pictures::new(limits.cache_bytes, metrics.clone()),
            conversations: Conversations::new(limits.conversations),
            limits,
            metrics,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Facts about the engine.
    pub(crate) fn info(&self) -> Arc<EngineInfo> {
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

    /// Announces a request, until the result is dropped.
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
            self.metrics.left.inc_by(left as u64);
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
        };
        waiting.jobs.push(client.clone(), job);
        self.metrics.queue.set(waiting.jobs.len() as i64);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for work, and a moment for more if requests are announced; `None` once the queue is
    /// closed and empty.
    pub(crate) fn next_batch(&self) -> Option<Vec<Job>> {
        let mut waiting = self.waiting();
        while waiting.jobs.len() == 0 {
            if waiting.status == Status::Closing {
                return None;
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
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
        Some(jobs)
    }

    /// Drops all waiting work, which its clients see as a failed engine, and the data of that
    /// engine.
    pub(crate) fn fail_all(&self) {
        let mut waiting = self.waiting();
        waiting.jobs.retain(|_| false);
        self.metrics.queue.set(0);
        drop(waiting);
        self.pictures.clear();
        self.conversations.clear();
    }

    /// Switches to another engine.
    pub(crate) fn started(&self, info: &EngineInfo) {
        *self.info.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(info.clone());
        // Removes pictures that the previous engine finished meanwhile.
        self.pictures.clear();
        self.conversations.clear();
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
