//! Evaluation: predictions, scores and pictures of the worst cases.
//!
//! * [`evaluate`] asks a model about stamp scenes, [`ask_dataset`] about a published data set.
//! * [`score_files`] scores predictions of any system, as [`files`], by a benchmark's [`metrics`],
//!   with [intervals and comparisons](confidence).

#![recursion_limit = "256"]

pub mod confidence;
pub mod files;
pub mod metrics;

mod batching;
mod benchmark;
mod calibration;
mod case;
mod dataset;
mod details;
mod disturbance;
mod error;
mod options;
mod page;
mod picture;
mod prefetch;
mod progress;
mod published_page;
mod records;
mod refusal;
mod report;
mod run;
mod scene_questions;
mod score_files;
mod score_table;
mod scores;
mod settings;
mod stamps_page;
mod summary;
mod table_cell;
mod throughput;

pub use benchmark::Benchmark;
pub use case::{Case, EvalKind};
pub use dataset::{Asked, DatasetOptions, ask_dataset};
pub use details::details;
pub use disturbance::Disturbance;
pub use error::{Error, Result};
pub use options::EvalOptions;
pub use picture::contact_sheet;
pub use progress::Progress;
pub use published_page::write_page;
pub use records::Records;
pub use report::{report, robustness_table};
pub use run::{Evaluated, evaluate};
pub use score_files::{ScoreOptions, score_files};
pub use score_table::{Comparison, ScoreTable};
pub use scores::{Outcome, Scores, StampScores, f_score, scores};
pub use summary::{Summary, write_summary};
pub use throughput::{Shares, Throughput};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
