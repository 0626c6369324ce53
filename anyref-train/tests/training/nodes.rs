//! Two machines, here two processes that talk over the loopback network, learn what one learns from as many batches.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyref_weights::Checkpoint;
use serde_json::{Value, json};

use crate::support::{stage, train_config};

/// The program, with a configuration in its folder.
fn train(folder: &Path, stages: Vec<Value>, options: &[String]) -> Command {
    let mut config = train_config(stages);
    config.instructions.per_scene = 1;
    let file = folder.join("config.json");
    fs::write(&file, serde_json::to_string(&config).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_anyref-train"));
    command.args(["train", "--config"]).arg(file);
    command.arg("--run").arg(folder.join("run")).args(options);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stages(accumulation: u64) -> Vec<Value> {
    let asked = [stage("sam", 2, 2), stage("instruct", 3, 1)];
    let change = |mut stage: Value| {
        stage["accumulation"] = json!(accumulation);
        // As in the test of devices: steps as large as their gradients.
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

fn succeed(child: Child) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn weights(folder: &Path) -> Vec<(String, Vec<f32>)> {
    let newest = anyref_train::run::checkpoint::newest(&folder.join("run/checkpoints"));
    let file = newest.unwrap().unwrap().join("model.safetensors");
    let checkpoint = Checkpoint::open(file).unwrap();
    let tensors = checkpoint.tensors().map(|tensor| {
        let data = tensor.read().unwrap();
        (tensor.name.clone(), data.convert::<f32>().to_vec().unwrap())
    });
    tensors.collect()
}

#[test]
fn two_nodes_are_one_with_twice_the_micro_batches() {
    let [alone, first, second] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    succeed(
        train(
            alone.path(),
            stages(2),
            &["--stop-after".into(), "4".into()],
        )
        .spawn()
        .unwrap(),
    );
    let ports = free_ports();
    let until = ["--stop-after", "4"];
    let nodes = [
        train(first.path(), stages(1), &node(0, ports, &until)),
        train(second.path(), stages(1), &node(1, ports, &until)),
    ];
    for node in nodes.map(|mut node| node.spawn().unwrap()) {
        succeed(node);
    }
    let (expected, found) = (weights(alone.path()), weights(first.path()));
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (same, found)) in expected.iter().zip(&found) {
        assert_eq!(name, same);
        let apart = expected.iter().zip(found).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < 1e-5, "{name}: {apart}");
    }
    // Only the first writes.
    assert!(!second.path().join("run/checkpoints").exists());
    assert!(!second.path().join("run/metrics.jsonl").exists());

    // The second has no checkpoint to go on from: it would learn something else.
    let ports = free_ports();
    let nodes = [
        train(first.path(), stages(1), &node(0, ports, &[])),
        train(second.path(), stages(1), &node(1, ports, &[])),
    ];
    let outputs = nodes
        .map(|mut node| node.spawn().unwrap())
        .map(|child| child.wait_with_output().unwrap());
    for output in outputs {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("the run's folder of node 0"), "{said}");
    }
}

#[test]
fn a_node_without_its_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--nodes".into(), "127.0.0.1:1,127.0.0.1:2".into()];
    let output = train(folder.path(), stages(1), &options).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--node"), "{said}");
}
