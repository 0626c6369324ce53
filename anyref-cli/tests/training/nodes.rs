//! Two machines, here two processes over the loopback network, train as one does with as many
//! batches.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Output};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::train;
use crate::support::{stage, weights};

fn stages(accumulation: u64) -> Vec<Value> {
    let mut asked = [stage("sam", 2, 2), stage("instruct", 3, 1)];
    asked[1]["ema_decay"] = 0.5.into();
    let change = |mut stage: Value| {
        stage["accumulation"] = json!(accumulation);
        // As in the test of devices: steps proportional to their gradients.
        stage["epsilon"] = json!(0.1);
        stage
    };
    asked.map(change).into()
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn node(rank: usize, ports: [u16; 2], more: &[&str]) -> Vec<String> {
    let addresses = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let rank = rank.to_string();
    let options = ["--nodes", &addresses, "--node", &rank];
    let all = options.into_iter().chain(more.iter().copied());
    all.map(String::from).collect()
}

/// Runs both machines to their end, one pair at a time, because ports that were free could be taken
/// by another pair. If one fails, the other, which may wait for it, is killed.
fn both(folders: [&Path; 2], stages: [Vec<Value>; 2], options: [&[&str]; 2]) -> [Output; 2] {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ports = free_ports();
    let mut nodes = Vec::new();
    for (rank, (folder, (stages, more))) in folders
        .into_iter()
        .zip(stages.into_iter().zip(options))
        .enumerate()
    {
        let options = node(rank, ports, more);
        nodes.push(train(folder, stages, &options).spawn().unwrap());
    }
    let failed =
        |node: &mut Child| matches!(node.try_wait(), Ok(Some(status)) if !status.success());
    let ended = |node: &mut Child| !matches!(node.try_wait(), Ok(None));
    let mut since = None;
    while !nodes.iter_mut().all(ended) {
        if nodes.iter_mut().any(failed) {
            let since = since.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_secs(30) {
                nodes.iter_mut().for_each(|node| drop(node.kill()));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let outputs: Vec<Output> = nodes
        .into_iter()
        .map(|node| node.wait_with_output().unwrap())
        .collect();
    outputs.try_into().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn learned(outputs: [Output; 2]) {
    for output in outputs {
        let said = said(&output);
        assert!(output.status.success(), "{}: {said}", output.status);
        assert!(!said.contains("panicked"), "{said}");
    }
}

fn refused(outputs: [Output; 2], part: &str) {
    for output in outputs {
        let said = said(&output);
        assert!(!output.status.success());
        assert!(said.contains(part), "{said}");
    }
}

fn one(folder: &Path, accumulation: u64, options: &[String]) {
    let mut alone = train(folder, stages(accumulation), options);
    let output = alone.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

fn assert_same_weights(found: &Path, expected: &Path) {
    let [expected, found] = [expected, found].map(|folder| weights(&folder.join("run")));
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (same, found)) in expected.iter().zip(&found) {
        assert_eq!(name, same);
        let apart = expected.iter().zip(found).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < 1e-5, "{name}: {apart}");
    }
}

#[test]
fn two_nodes_are_one_with_twice_the_micro_batches() {
    let [alone, first, second] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let folders = [first.path(), second.path()];
    one(alone.path(), 2, &[]);
    let until: &[&str] = &["--stop-after", "4"];
    learned(both(folders, [stages(1), stages(1)], [until, until]));
    // Only the first machine writes.
    assert!(!second.path().join("run/checkpoints").exists());
    assert!(!second.path().join("run/metrics.jsonl").exists());
    // The second machine has no checkpoint to resume from, and would train other weights.
    let again = both(folders, [stages(1), stages(1)], [&[], &[]]);
    refused(again, "the run's folder of node 0");
    // Both read the first machine's checkpoint.
    learned(both(
        [first.path(), first.path()],
        [stages(1), stages(1)],
        [&[], &[]],
    ));
    assert_same_weights(first.path(), alone.path());
    assert!(first.path().join("run/model/model.safetensors").is_file());
}

#[test]
fn nodes_have_several_devices_each_and_as_many() {
    let [alone, first, second] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let folders = [first.path(), second.path()];
    one(alone.path(), 4, &[]);
    let two: &[&str] = &["--devices", "0,0"];
    refused(
        both(folders, [stages(1), stages(1)], [two, &[]]),
        "number of devices",
    );
    let mut faster = stages(1);
    faster[0]["learning_rate"] = json!(0.01);
    refused(
        both(folders, [stages(1), faster], [two, two]),
        "the same configuration",
    );
    learned(both(folders, [stages(1), stages(1)], [two, two]));
    assert_same_weights(first.path(), alone.path());
}

#[test]
fn a_node_without_its_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--nodes".into(), "127.0.0.1:1,127.0.0.1:2".into()];
    let output = train(folder.path(), stages(1), &options).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--node"), "{said}");
}
