//! Configuration of the choice among several answers.

use serde::{Deserialize, Serialize};

use crate::{Error, Reference, Result};

/// Maximum number of answers that are tried.
pub const MAX_CANDIDATES: usize = 64;
/// Lower limit of the estimate of how well an answer points.
pub(crate) const LEAST: f64 = 1e-3;

/// Choice of an answer among several, for masks and for descriptions by the default question; not
/// for chats, which show answers while they are generated. The default is the paper's greedy
/// generation without a choice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateConfig {
    /// Maximum number of answers that are tried; 1 is greedy generation.
    pub count: usize,
    /// Weight of the log of the mask decoder's IoU estimate (the lowest of several masks) relative
    /// to the answer's log-probability. If the default question asks for masks of the content of
    /// one box, the estimate is multiplied by the IoU of that box and the box around the masks, and
    /// an answer without masks counts as the worst.
    pub estimate_weight: f64,
    /// Estimate assigned to an answer without masks.
    pub refusal_estimate: f64,
    /// Estimate assigned to an answer without masks if the only reference is a picture, which shows
    /// the object even where the model names it wrongly; defaults to
    /// [`refusal_estimate`](Self::refusal_estimate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_refusal_estimate: Option<f64>,
    /// Weight of the log of how well a description is understood: the IoU of the masks for its
    /// words and those of its reference, times the estimate of the former.
    pub listener_weight: f64,
    /// Cost of each token of a description, in log units: a longer one has to be understood better.
    pub token_cost: f64,
}

impl Default for CandidateConfig {
    fn default() -> Self {
        Self {
            count: 1,
            estimate_weight: 1.0,
            refusal_estimate: 0.1,
            picture_refusal_estimate: None,
            listener_weight: 1.0,
            token_cost: 0.0,
        }
    }
}

impl CandidateConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// When `count` is not 1 to [`MAX_CANDIDATES`], a weight is negative or NaN, or an estimate is
    /// not 0 to 1.
    pub fn validate(&self) -> Result<()> {
        let problem = |field, problem: String| Err(Error::Config { field, problem });
        if !(1..=MAX_CANDIDATES).contains(&self.count) {
            let count = self.count;
            return problem(
                "candidates.count",
                format!("is {count}: make it 1 to {MAX_CANDIDATES}"),
            );
        }
        let picture = self.picture_refusal_estimate.unwrap_or_default();
        for (field, estimate) in [
            ("candidates.refusal_estimate", self.refusal_estimate),
            ("candidates.picture_refusal_estimate", picture),
        ] {
            if !(0.0..=1.0).contains(&estimate) {
                return problem(field, format!("is {estimate}: make it 0 to 1"));
            }
        }
        let weights = [
            ("candidates.estimate_weight", self.estimate_weight),
            ("candidates.listener_weight", self.listener_weight),
            ("candidates.token_cost", self.token_cost),
        ];
        for (field, weight) in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                return problem(field, format!("is {weight}: make it 0 or more"));
            }
        }
        Ok(())
    }

    /// Estimate assigned to an answer without masks, for these references.
    pub(crate) fn refusal(&self, references: &[Reference]) -> f64 {
        match (references, self.picture_refusal_estimate) {
            ([Reference::Image(_)], Some(estimate)) => estimate,
            _ => self.refusal_estimate,
        }
    }

    /// Log score of how well an answer with this estimate points; 0 at best.
    pub(crate) fn points(&self, estimate: f64) -> f64 {
        self.estimate_weight * estimate.max(LEAST).ln()
    }
}
