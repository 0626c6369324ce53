//! Questions and answers as JSON: types that a server reads and writes, and a page that computes in
//! the browser too.
//!
//! [`QuestionInput`] becomes an [`anyref_core::Prompt`], within [`QuestionLimits`]; an
//! [`anyref_core::Answer`] becomes an [`AnswerOutput`]. [`MaskRequest`] and [`MaskAnswer`] are of
//! masks without words. A [`Problem`] says which field is wrong, and why.

mod answers;
mod limits;
mod masks;
pub mod media;
mod models;
mod problem;
mod questions;

pub use answers::{
    AnswerOutput, ExplanationOutput, MaskFormat, MaskOutput, PartOutput, TimingOutput, WordOutput,
    milliseconds, words_of_piece,
};
pub use limits::QuestionLimits;
pub use masks::{CandidateChoice, MaskAnswer, MaskRequest, MaskTiming, RefinableMask};
pub use models::ModelDetail;
pub use problem::{Failure, FailureDetail, Outcome, Problem, one_line, picture_not_found};
pub use questions::{
    Choice, FileInput, MaskInput, PictureInput, QuestionInput, ReferenceInput, check_fit,
    likeliest, mask_points, region,
};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
