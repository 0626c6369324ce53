//! Training on procedural shapes with a tiny model.

#![recursion_limit = "256"]

mod ablation;

mod batch;
#[allow(dead_code)]
#[path = "../../../anyref-core/tests/core/common.rs"]
mod common;
mod configs;
mod data;
#[cfg(feature = "collective")]
mod devices;
mod ema;
mod features;
mod gradient_checkpointing;
mod gradients;
mod initial;
mod learning;
mod parity;
mod pictures;
mod precision;
mod quantized;
mod refusals;
mod resume;
mod sa2va;
mod skipped;
mod support;
