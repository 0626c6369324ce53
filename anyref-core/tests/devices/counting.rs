//! Launches of kernels in CubeCL's log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use burn::tensor::backend::Backend;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use log::{LevelFilter, Log, Metadata, Record};

/// Beginning of the line of a launch.
const LAUNCH: &str = "Executing ";

static LAUNCHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Launches;

impl Log for Launches {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        if let Some(name) = line.strip_prefix(LAUNCH) {
            LAUNCHED.lock().unwrap().push(name.to_owned());
        }
    }

    fn flush(&self) {}
}

/// Logs every launch from now on. Must precede the first use of a device.
pub fn start() {
    let logger = serde_json::json!({ "level": "minimal", "log": "info" });
    let config = serde_json::json!({ "profiling": { "logger": logger } });
    CubeClRuntimeConfig::set(serde_json::from_value(config).expect("a configuration"));
    log::set_logger(&Launches).expect("no other logger");
    log::set_max_level(LevelFilter::Info);
}

/// Names of the kernels that `run` launches when it is run again, after kernels were chosen and
/// compiled.
pub fn launches<B: Backend>(mut run: impl FnMut()) -> Vec<String> {
    run();
    settled::<B>();
    LAUNCHED.lock().unwrap().clear();
    run();
    settled::<B>();
    LAUNCHED.lock().unwrap().clone()
}

/// Waits for the device and for the log, which another thread writes.
fn settled<B: Backend>() {
    B::sync(&Default::default()).expect("a device");
    let mut before = usize::MAX;
    loop {
        sleep(Duration::from_millis(300));
        let now = LAUNCHED.lock().unwrap().len();
        if now == before {
            return;
        }
        before = now;
    }
}

/// Number of launches of each kernel, most first.
pub fn by_name(launched: &[String]) -> Vec<(&str, usize)> {
    let mut counts = BTreeMap::new();
    for name in launched {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts
}
