//! Choice of the next token.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Options of generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Maximum tokens to generate for a row.
    pub max_new_tokens: usize,
    /// Divisor of the logits; 0 always picks the best token.
    pub temperature: f64,
    /// Nucleus sampling: samples from the fewest best tokens that together reach this probability;
    /// 1 is no limit.
    pub top_p: f64,
    /// Samples from this many best tokens; 0 is no limit.
    pub top_k: usize,
    /// Seed of the sampling; the choices of a row depend only on the seed and its index.
    pub seed: u64,
    /// Tokens that end a row.
    pub stop_tokens: Vec<u32>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 128,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            seed: 0,
            stop_tokens: Vec::new(),
        }
    }
}

impl GenerationConfig {
    /// Options of greedy generation without stop tokens.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            ..Self::default()
        }
    }

    /// Returns whether the best token is always picked.
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.top_k == 1
    }
}

/// Sampler of the tokens of one row.
#[derive(Debug)]
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    top_k: usize,
    rng: StdRng,
}

impl Sampler {
    /// Creates the sampler of a row.
    pub fn new(config: &GenerationConfig, row: usize) -> Self {
        // An odd multiplier keeps the seeds of rows distinct for any seed.
        let seed = config
            .seed
            .wrapping_add((row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self {
            temperature: config.temperature,
            top_p: config.top_p,
            top_k: config.top_k,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Draws a token; applies the temperature first, then `top_k`, then `top_p`.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // Ties keep the order of their ids, so that a draw is reproducible everywhere.
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let Some(&best) = order.first() else {
            return 0;
        };
        let top = f64::from(logits[best]);
        let weight = |&index: &usize| ((f64::from(logits[index]) - top) / self.temperature).exp();
        let mut weights: Vec<f64> = order.iter().map(weight).collect();
        if self.top_p < 1.0 {
            let limit = self.top_p * weights.iter().sum::<f64>();
            let mut sum = 0.0;
            let kept = weights.iter().take_while(|&&weight| {
                let below = sum < limit;
                sum += weight;
                below
            });
            let kept = kept.count().max(1);
            weights.truncate(kept);
        }
        let mut point = self.rng.random::<f64>() * weights.iter().sum::<f64>();
        for (weight, &index) in weights.iter().zip(&order) {
            point -= weight;
            if point < 0.0 {
                return index as u32;
            }
        }
        best as u32
    }
}
