//! Configuration of the choice among several answers.

use serde::{Deserialize, Serialize};

use crate::{Error, Reference, Result};

/// The most answers that are tried.
pub const MAX_CANDIDATES: usize = 64;
/// How well an answer points is never counted as worse than this.
pub(crate) const LEAST: f64 = 1e-3;

/// Choice of an answer among several, for masks and for descriptions by the default question; a
/// chat, which shows answers as they are generated, chooses none. By default nothing is chosen:
/// answers are generated greedily, as the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateConfig {
    /// Answers that are tried, at most; 1 is greedy generation.
    pub count: usize,
    /// Weight of the logarithm of the mask decoder's estimated IoU (of several masks the lowest)
    /// against that of the answer's probability. Where the default question asks for masks of what
    /// is in one box, the estimate is multiplied by the IoU of that box and the one around the
    /// masks, and an answer without masks counts as the worst.
    pub estimate_weight: f64,
    /// The estimate that an answer without a mask counts as.
    pub refusal_estimate: f64,
    /// The same where the only reference is a picture, which shows what is sought even where the
    /// model calls it by a wrong name; [`refusal_estimate`](Self::refusal_estimate) when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_refusal_estimate: Option<f64>,
    /// Weight of the logarithm of how well a description is understood: the IoU of what its words
    /// are answered with and what its reference means, times the estimate of the former.
    pub listener_weight: f64,
    /// Cost of each token of a description, as a logarithm: a longer one has to be understood
    /// better.
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
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// When `count` is not 1 to [`MAX_CANDIDATES`], a weight is negative or not a number, or an
    /// estimate not 0 to 1.
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

    /// The estimate that an answer without a mask counts as, for these references.
    pub(crate) fn refusal(&self, references: &[Reference]) -> f64 {
        match (references, self.picture_refusal_estimate) {
            ([Reference::Image(_)], Some(estimate)) => estimate,
            _ => self.refusal_estimate,
        }
    }

    /// How well an answer of this estimate points: 0 at best.
    pub(crate) fn points(&self, estimate: f64) -> f64 {
        self.estimate_weight * estimate.max(LEAST).ln()
    }
}
