//! Questions and answers as JSON: types shared by the server and by the page that computes in the
//! browser.
//!
//! [`QuestionInput`] becomes an [`anyref_core::Prompt`], within [`QuestionLimits`]; an
//! [`anyref_core::Answer`] becomes an [`AnswerOutput`]. [`MaskRequest`] and [`MaskAnswer`] are for
//! masks without words. A [`Problem`] names the invalid field and the reason.

mod answers;
mod early_mask;
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
pub use early_mask::EarlyMaskOutput;
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
