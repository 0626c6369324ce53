//! `anyref train`: killed and resumed runs, and runs on several machines.

#![cfg(feature = "train")]
#![recursion_limit = "256"]

#[allow(dead_code)]
#[path = "../../../anyref-core/tests/core/common.rs"]
mod common;
mod killed;
#[cfg(feature = "collective")]
mod nodes;
mod program;
#[allow(dead_code)]
#[path = "../../../anyref-train/tests/training/support.rs"]
mod support;
