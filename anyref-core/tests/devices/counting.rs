//! Launches of kernels in CubeCL's log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use burn::backend::Vulkan;
use burn::backend::wgpu::WgpuRuntime;
use burn::tensor::backend::Backend;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use cubecl::ir::{ElemType, StorageType, UIntKind};
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;
use log::{LevelFilter, Log, Metadata, Record};

/// Beginning of the line of a launch.
const LAUNCH: &str = "Executing ";
/// Part of the name of the kernel that ends a run.
const MARK: &str = "EndOfRun";
/// Most runs of a part until two launch equally many kernels.
const RUNS: usize = 8;

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

/// Names of the kernels that `run` launches once kernels are chosen and compiled.
///
/// A run may find a fused operation that the ones before did not, and tune it, so `run` is repeated
/// until two runs in a row launch equally many, at most [`RUNS`] times. The shortest run counts.
pub fn launches(mut run: impl FnMut()) -> Vec<String> {
    let mut once = || {
        written();
        LAUNCHED.lock().unwrap().clear();
        run();
        written();
        LAUNCHED.lock().unwrap().clone()
    };
    let mut shortest = once();
    let mut before = shortest.len();
    for _ in 1..RUNS {
        let launched = once();
        let count = launched.len();
        if count < shortest.len() {
            shortest = launched;
        }
        if count == before {
            break;
        }
        before = count;
    }
    shortest
}

/// Writes nothing of use; its name ends the lines of the launches before it.
#[cube(launch)]
fn end_of_run(output: &mut Array<u32>) {
    if ABSOLUTE_POS == 0 {
        output[0] = 1;
    }
}

/// Waits for the device, and for the thread that writes the log to come to a mark, which is left
/// out.
fn written() {
    let device = Default::default();
    <Vulkan as Backend>::sync(&device).expect("a device");
    let client = WgpuRuntime::client(&device);
    let word = StorageType::Scalar(ElemType::UInt(UIntKind::U32));
    let output = TensorHandle::<WgpuRuntime>::empty(&client, [1], word);
    end_of_run::launch(
        &client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(1),
        output.into_arg().into_array_arg(),
    );
    client.flush().expect("a device");
    loop {
        let mut launched = LAUNCHED.lock().unwrap();
        if let Some(mark) = launched.iter().rposition(|name| name.contains(MARK)) {
            launched.remove(mark);
            return;
        }
        drop(launched);
        sleep(Duration::from_millis(10));
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
