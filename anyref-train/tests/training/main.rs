//! Training on procedural shapes with a model as small as it goes.

#![recursion_limit = "256"]

mod ablation;
mod average;
mod batch;
#[allow(dead_code)]
#[path = "../../../anyref-core/tests/core/common.rs"]
mod common;
mod configs;
mod data;
mod devices;
mod features;
mod gradients;
mod initial;
mod killed;
mod learning;
#[cfg(feature = "collective")]
mod nodes;
mod parity;
mod pictures;
mod precision;
mod recompute;
mod refusals;
mod resume;
mod skipped;
mod support;
