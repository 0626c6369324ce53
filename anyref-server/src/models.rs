//! Served models by their names: loaded when they are asked for, dropped for others beyond a
//! budget of memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyref_api::{Outcome, Problem};

use crate::error::{Error, Result};
use crate::queue::Queue;

/// Model with its queue.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) name: String,
    pub(crate) queue: Queue,
    pub(crate) known: Vec<String>,
    /// Time of the last request, counted in requests.
    used: AtomicU64,
}

impl Hosted {
    pub(crate) fn new(name: String, queue: Queue, known: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            name,
            queue,
            known,
            used: AtomicU64::new(0),
        })
    }
}

/// Served models, the default one first.
#[derive(Debug)]
pub(crate) struct Models {
    hosted: Vec<Arc<Hosted>>,
    /// Memory that loaded models may take together, in bytes.
    budget: Option<u64>,
    requests: AtomicU64,
}

impl Models {
    /// Models, the default one first.
    ///
    /// # Errors
    /// When there is none, or two have one name.
    pub(crate) fn new(hosted: Vec<Arc<Hosted>>, budget: Option<u64>) -> Result<Self> {
        let wrong = |problem: String| Error::Option {
            option: "--model",
            problem,
        };
        if hosted.is_empty() {
            return Err(wrong("is missing: a server needs a model".into()));
        }
        for (number, one) in hosted.iter().enumerate() {
            if hosted[..number].iter().any(|other| other.name == one.name) {
                let name = &one.name;
                let problem = format!("is given twice as {name:?}: name one of them, NAME={name}");
                return Err(wrong(problem));
            }
        }
        Ok(Self {
            hosted,
            budget,
            requests: AtomicU64::new(0),
        })
    }

    /// Model that requests without a name are for.
    pub(crate) fn default_model(&self) -> &Arc<Hosted> {
        &self.hosted[0]
    }

    pub(crate) fn all(&self) -> &[Arc<Hosted>] {
        &self.hosted
    }

    /// Model of a name, or the default one.
    pub(crate) fn find(&self, name: Option<&str>) -> Outcome<&Arc<Hosted>> {
        let found = match name {
            None => Some(self.default_model()),
            Some(name) => self.hosted.iter().find(|one| one.name == name),
        };
        let Some(found) = found else {
            let names: Vec<_> = self.hosted.iter().map(|one| one.name.as_str()).collect();
            return Err(Problem::no_model(name.unwrap_or_default(), &names));
        };
        let now = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        found.used.store(now, Ordering::Relaxed);
        Ok(found)
    }

    /// Drops idle models, those not asked for longest first, until `needed` bytes beside the
    /// loaded ones fit the budget. Models that have work stay.
    pub(crate) fn make_room(&self, kept: &Hosted, needed: u64) {
        let Some(budget) = self.budget else {
            return;
        };
        for other in self.idle_longest(kept) {
            if self.resident().saturating_add(needed) <= budget {
                return;
            }
            self.rest(other);
        }
    }

    /// Drops all other idle models, and returns whether any was dropped.
    pub(crate) fn drop_others(&self, kept: &Hosted) -> bool {
        let mut any = false;
        for other in self.idle_longest(kept) {
            any |= self.rest(other);
        }
        any
    }

    fn rest(&self, one: &Hosted) -> bool {
        let rests = one.queue.rests_within(one.queue.limits.rest);
        if rests {
            log::info!("{} is dropped, for others to be loaded", one.name);
        }
        rests
    }

    /// Returns whether a model that was asked to rest, and is idle now, still has to: another one
    /// waits for its room, or the loaded ones take more than the budget. Else the reason is gone,
    /// since others have been dropped meanwhile.
    pub(crate) fn has_to_rest(&self, one: &Hosted) -> bool {
        let beyond = self.budget.is_some_and(|budget| self.resident() > budget);
        beyond || one.queue.in_the_way()
    }

    /// Memory of all loaded models in bytes.
    fn resident(&self) -> u64 {
        self.hosted.iter().map(|one| one.queue.resident()).sum()
    }

    /// Loaded models but one, those not asked for longest first.
    fn idle_longest(&self, kept: &Hosted) -> Vec<&Hosted> {
        let others = self.hosted.iter().map(|one| &**one);
        let mut others: Vec<&Hosted> = others
            .filter(|one| !std::ptr::eq(*one, kept) && one.queue.resident() > 0)
            .collect();
        others.sort_by_key(|one| one.used.load(Ordering::Relaxed));
        others
    }
}
