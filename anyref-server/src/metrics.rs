//! Metrics for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use anyref_core::Timing;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    found: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

/// Upper bounds of seconds, 1 ms to 100 s.
const SECONDS: [f64; 14] = [
    0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0,
];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Metrics of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_time: Histogram,
    parts: Family<Part, Histogram>,
    batch: Histogram,
    lookups: Family<Found, Counter>,
    queue: Family<Model, Gauge>,
    cache_bytes: Family<Model, Gauge>,
    cache_pictures: Family<Model, Gauge>,
    model_bytes: Family<Model, Gauge>,
    pub(crate) restarts: Counter,
    pub(crate) left: Counter,
    memory: Gauge,
}

/// Figures of one served model.
#[derive(Debug, Clone)]
pub(crate) struct ModelMetrics {
    pub(crate) queue: Gauge,
    pub(crate) cache_bytes: Gauge,
    pub(crate) cache_pictures: Gauge,
    pub(crate) model_bytes: Gauge,
    /// Figures of the server.
    pub(crate) server: Arc<Metrics>,
}

impl Metrics {
    /// Figures of the model of a name.
    pub(crate) fn of_model(self: &Arc<Self>, name: &str) -> ModelMetrics {
        let label = Model { model: name.into() };
        let gauge = |family: &Family<Model, Gauge>| family.get_or_create(&label).clone();
        ModelMetrics {
            queue: gauge(&self.queue),
            cache_bytes: gauge(&self.cache_bytes),
            cache_pictures: gauge(&self.cache_pictures),
            model_bytes: gauge(&self.model_bytes),
            server: self.clone(),
        }
    }

    pub(crate) fn new() -> Self {
        let mut new = Self {
            registry: Registry::with_prefix("anyref"),
            requests: Family::default(),
            request_time: seconds(),
            parts: Family::new_with_constructor(seconds),
            batch: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            lookups: Family::default(),
            queue: Family::default(),
            cache_bytes: Family::default(),
            cache_pictures: Family::default(),
            model_bytes: Family::default(),
            restarts: Counter::default(),
            left: Counter::default(),
            memory: Gauge::default(),
        };
        let registry = &mut new.registry;
        registry.register("requests", "Answered requests", new.requests.clone());
        let time = ("request", "Time of requests", Unit::Seconds);
        registry.register_with_unit(time.0, time.1, time.2, new.request_time.clone());
        let parts = ("part", "Time of an answer's parts", Unit::Seconds);
        registry.register_with_unit(parts.0, parts.1, parts.2, new.parts.clone());
        registry.register(
            "batch_size",
            "Questions answered together",
            new.batch.clone(),
        );
        registry.register("queue_length", "Work that waits", new.queue.clone());
        let name = "picture_cache_lookups";
        registry.register(
            name,
            "Pictures looked for in the cache",
            new.lookups.clone(),
        );
        registry.register(
            "picture_cache_pictures",
            "Pictures kept",
            new.cache_pictures.clone(),
        );
        let cache = ("picture_cache", "Memory of pictures kept", Unit::Bytes);
        registry.register_with_unit(cache.0, cache.1, cache.2, new.cache_bytes.clone());
        let model = (
            "model",
            "Memory of a model's parameters, 0 while it is not loaded",
            Unit::Bytes,
        );
        registry.register_with_unit(model.0, model.1, model.2, new.model_bytes.clone());
        let memory = ("memory", "Resident memory of the process", Unit::Bytes);
        registry.register_with_unit(memory.0, memory.1, memory.2, new.memory.clone());
        registry.register("engine_restarts", "Failed engines", new.restarts.clone());
        registry.register(
            "clients_left",
            "Questions whose client left",
            new.left.clone(),
        );
        new
    }

    /// Counts an answered request and its time.
    pub(crate) fn answered(&self, route: &str, status: u16, time: Duration) {
        let route = route.to_owned();
        self.requests
            .get_or_create(&Answered { route, status })
            .inc();
        self.request_time.observe(time.as_secs_f64());
    }

    /// Records the size of a batch of questions.
    pub(crate) fn batch(&self, questions: usize) {
        self.batch.observe(questions as f64);
    }

    /// Records the time that work waited.
    pub(crate) fn waited(&self, time: Duration) {
        self.part("queue", time);
    }

    /// Counts a lookup in the cache of pictures.
    pub(crate) fn looked_up(&self, found: bool) {
        let found = if found { "yes" } else { "no" };
        self.lookups.get_or_create(&Found { found }).inc();
    }

    /// Records the times of an answer's parts.
    pub(crate) fn timing(&self, timing: &Timing) {
        self.part("audio", timing.audio);
        self.part("prompt", timing.prompt);
        self.part("generate", timing.generate);
        self.part("decode", timing.decode);
    }

    /// Records the time of one part.
    pub(crate) fn part(&self, part: &'static str, time: Duration) {
        if !time.is_zero() {
            self.parts
                .get_or_create(&Part { part })
                .observe(time.as_secs_f64());
        }
    }

    /// Text in the format that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            self.memory.set(bytes);
        }
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Resident memory of the process in bytes, on Linux.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
