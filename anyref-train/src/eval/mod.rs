//! Evaluation: predictions, scores and pictures of the worst cases.

mod case;
mod picture;
mod report;
mod run;
mod scores;

pub use case::{Case, EvalKind};
pub use picture::{case_picture, contact_sheet};
pub use report::table;
pub use run::{EvalOptions, evaluate};
pub use scores::{Scores, f_score, scores};
