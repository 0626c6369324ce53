//! Adapter folders of PEFT: `adapter_config.json` beside `adapter_model.safetensors` or
//! `adapter_model.bin`.
//!
//! * [`PeftConfig`]: configuration of an adapter; unsupported fields are rejected by name.
//! * [`PeftAdapter`]: opened folder, to be applied to a model or merged into one weight at a time.
//! * [`save_adapter`]: writes a model's adapters as a folder that peft reads.

mod adapter;
mod config;
mod merge;
mod save;

pub use adapter::{LowRank, PeftAdapter};
pub use config::PeftConfig;
pub use save::{SaveAdapter, save_adapter};

/// File name of the configuration.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// File names of the weights, in order of preference.
pub const WEIGHTS_FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
