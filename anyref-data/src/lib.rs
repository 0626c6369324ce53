//! Training and evaluation data of AnyRef.
//!
//! * [`scenes`]: endless composed scenes and the instruction pairs about them.
//! * [`datasets`]: published data sets, read from their layouts, and mixtures of them.

#![recursion_limit = "256"]

pub mod datasets;
pub mod scenes;

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
