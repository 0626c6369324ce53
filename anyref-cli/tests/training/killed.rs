//! A run that is killed, however often, ends as an uninterrupted run does.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyref_train::run::checkpoint::{newest, position};

use crate::program::train;
use crate::support::{metrics, stage};

const STEPS: u64 = 60;

/// Step of the newest checkpoint; `None` if there is none, or one is being renamed.
fn reached(run: &Path) -> Option<u64> {
    let newest = newest(&run.join("checkpoints")).ok().flatten()?;
    Some(position(&newest).ok()?.step)
}

/// Program that is killed with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn killed_runs_end_as_those_that_were_left_alone() {
    let [left_alone, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [left_alone, killed] = [left_alone.path(), killed.path()];
    let stages = || vec![stage("instruct", STEPS, 1)];
    let finish = |folder: &Path| {
        let output = train(folder, stages(), &[]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    };
    finish(left_alone);

    let run = killed.join("run");
    for round in 1..=3 {
        let before = reached(&run).unwrap_or(0);
        let mut child = Killed(train(killed, stages(), &[]).spawn().unwrap());
        let start = Instant::now();
        while reached(&run).unwrap_or(0) < before + 2 * round {
            assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(2));
        }
        // On Unix by SIGKILL: nothing is cleaned up.
        child.0.kill().unwrap();
        assert!(!child.0.wait().unwrap().success(), "it was at its end");
    }
    assert!(reached(&run).is_some_and(|step| step < STEPS));
    finish(killed);

    let ends = [left_alone, killed].map(|folder| {
        let checkpoint = newest(&folder.join("run/checkpoints")).unwrap().unwrap();
        [
            "model.safetensors",
            "optimizer.safetensors",
            "position.json",
        ]
        .map(|name| fs::read(checkpoint.join(name)).unwrap())
    });
    assert!(ends[0] == ends[1], "weights, moments or position differ");
    assert_eq!(metrics(&run), metrics(&left_alone.join("run")));
}
