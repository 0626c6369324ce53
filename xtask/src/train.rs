//! `cargo xtask train`, `ablate`, `export`, `demo-scenes`, `check-data`: calls of `anyref` with the
//! data of `data stamps`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo;

/// Program that trains.
const PROGRAM: &str = "anyref";
/// Package of the program.
const PACKAGE: &str = "anyref-cli";
const STAMPS: &str = "data/stamps";
const BACKGROUNDS: &str = "data/backgrounds";

/// Arguments passed to `anyref`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Passed {
    /// Options of `anyref`; `--help` lists them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

impl Passed {
    /// Wraps the options.
    pub fn new(options: Vec<String>) -> Self {
        Self { options }
    }
}

/// Runs a command of `anyref`.
pub fn run(command: &str, passed: &Passed) -> Result<()> {
    let options = &passed.options;
    let mut features: Vec<String> = match value(options, "--backend") {
        None | Some("flex") => Vec::new(),
        Some(backend) if !cargo::BACKENDS.contains(&backend) => bail!(
            "there is no backend {backend:?}: use one of {}",
            cargo::BACKENDS.join(", ")
        ),
        Some(backend) => vec![format!("{PACKAGE}/{backend}")],
    };
    if asks_for_several(options) {
        features.push(format!("{PACKAGE}/collective"));
    }
    let mut call = Command::new(cargo::built(PROGRAM, &features)?);
    call.arg(command).args(options);
    keep_memory(&mut call);
    let asks_for_help = options
        .iter()
        .any(|option| option == "--help" || option == "-h");
    if !asks_for_help && needs_stamps(options) {
        if value(options, "--stamps").is_none() && !Path::new(STAMPS).is_dir() {
            bail!(
                "there are no stamps in {STAMPS}: run `cargo xtask data stamps` first, say where they are \
                 with --stamps, or use a configuration with `\"shapes\": true`, which needs none"
            );
        }
        if value(options, "--backgrounds").is_none() {
            match Path::new(BACKGROUNDS).is_dir() {
                true => {
                    call.args(["--backgrounds", BACKGROUNDS]);
                }
                false => eprintln!(
                    "no photographic backgrounds in {BACKGROUNDS}: scenes have procedural ones alone (see `cargo xtask data \
                     stamps`)"
                ),
            }
        }
    }
    cargo::run(&mut call)
}

/// Lets the trainer's allocator keep freed memory for its next request: returning it to the system
/// costs a sixth of a step.
pub fn keep_memory(command: &mut Command) {
    const VARIABLE: &str = "MIMALLOC_PURGE_DELAY";
    if std::env::var_os(VARIABLE).is_none() {
        command.env(VARIABLE, "-1");
    }
}

/// Returns whether the options ask for several devices or machines.
fn asks_for_several(options: &[String]) -> bool {
    let devices = value(options, "--devices");
    devices.is_some_and(|devices| devices.contains(',')) || value(options, "--nodes").is_some()
}

/// Value of an option, written `--name value` or `--name=value`.
fn value<'a>(options: &'a [String], name: &str) -> Option<&'a str> {
    options.iter().enumerate().find_map(|(index, option)| {
        match option.strip_prefix(name)?.strip_prefix('=') {
            Some(value) => Some(value),
            None if option == name => options.get(index + 1).map(String::as_str),
            None => None,
        }
    })
}

/// Returns whether the configuration uses stamps; errors in reading it are left for `anyref` to
/// report.
fn needs_stamps(options: &[String]) -> bool {
    value(options, "--config")
        .and_then(read)
        .is_some_and(|config| {
            // The base of an ablation counts.
            let base = &config["base"];
            let config = match base.as_str() {
                Some(path) => read(path).unwrap_or_default(),
                None if base.is_object() => base.clone(),
                None => config,
            };
            let stages = config["stages"].as_array();
            let data = stages.is_some_and(|stages| stages.iter().all(|s| s["data"].is_object()));
            config["shapes"] != true && !(config["start"].is_string() && data)
        })
}

fn read(path: &str) -> Option<serde_json::Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_both_spellings() {
        let options: Vec<String> = [
            "--config",
            "a.json",
            "--backend=cuda",
            "--stamps-extra",
            "x",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(value(&options, "--config"), Some("a.json"));
        assert_eq!(value(&options, "--backend"), Some("cuda"));
        assert_eq!(value(&options, "--stamps"), None);
        assert_eq!(value(&options[..1], "--config"), None);
    }

    #[test]
    fn several_devices_or_machines_are_recognised() {
        let several = |line: &str| {
            let options: Vec<String> = line.split(' ').map(String::from).collect();
            asks_for_several(&options)
        };
        assert!(several("--devices 0,1") && several("--devices=0,1"));
        assert!(several("--nodes a:1,b:1 --node 0"));
        assert!(!several("--devices 0") && !several("--config a.json"));
    }

    #[test]
    fn shapes_need_no_stamps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let options = ["--config".to_owned(), path.to_str().unwrap().to_owned()];
        for (text, needs) in [
            ("{\"shapes\": true}", false),
            ("{}", true),
            ("{", false),
            ("{\"base\": {\"shapes\": true}}", false),
            ("{\"base\": {}}", true),
            ("{\"start\": \"m\", \"stages\": [{\"data\": {}}]}", false),
            ("{\"start\": \"m\", \"stages\": [{\"data\": {}}, {}]}", true),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(needs_stamps(&options), needs, "{text}");
        }
    }
}
