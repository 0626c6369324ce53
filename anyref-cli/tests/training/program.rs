//! Program under test.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::train_config;

/// Program with a configuration in its folder.
pub fn train(folder: &Path, stages: Vec<Value>, options: &[String]) -> Command {
    let mut config = train_config(stages);
    config.instructions.per_scene = 1;
    let file = folder.join("config.json");
    // Written atomically, because an earlier run may be reading it.
    let partial = folder.join(format!("config.{}", rand::random::<u64>()));
    fs::write(&partial, serde_json::to_string(&config).unwrap()).unwrap();
    fs::rename(&partial, &file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_anyref"));
    command.args(["train", "--config"]).arg(file);
    command.arg("--run").arg(folder.join("run")).args(options);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
