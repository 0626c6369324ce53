//! Training and evaluation data of AnyRef.
//!
//! * [`scenes`]: endless composed scenes and the instruction pairs asked about them.
//! * [`datasets`]: the published data sets, read from their layouts, and their mixtures.

#![recursion_limit = "256"]

pub mod datasets;
pub mod scenes;
