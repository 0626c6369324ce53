//! Scores of benchmarks: parity with reference implementations, files of predictions, intervals and
//! comparisons.

mod captions;
mod confidence;
mod files;
mod masks;
mod support;
mod tables;
