//! Choosing the next token.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// How to generate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Most tokens to generate for a row.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 picks the best token always.
    pub temperature: f64,
    /// Samples from the fewest best tokens that together reach this probability; 1 is no limit.
    pub top_p: f64,
    /// Samples from this many best tokens; 0 is no limit.
    pub top_k: usize,
    /// Seed of the sampling; a row's choices depend on the seed and its index alone.
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
    /// Greedy generation without stop tokens.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            ..Self::default()
        }
    }

    /// Whether the best token is always picked.
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.top_k == 1
    }
}

/// Draws the tokens of one row.
#[derive(Debug)]
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    top_k: usize,
    rng: StdRng,
}

impl Sampler {
    /// The sampler of a row.
    pub fn new(config: &GenerationConfig, row: usize) -> Self {
        // An odd multiplier keeps the rows' seeds apart for any seed.
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

    /// Draws a token: temperature first, then `top_k`, then `top_p`.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // Equal logits keep the order of their ids, so that a draw is the same everywhere.
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
