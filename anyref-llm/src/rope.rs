//! Rotary positions in the half-split layout of Hugging Face's LLaMA: component `i` of a head is
//! rotated together with component `i + head_dim / 2`.

use anyref_ops::Angles;
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData, backend::Backend};

use crate::config::LlamaConfig;

/// Rotary frequencies of a model.
#[derive(Debug, Clone)]
pub struct RotaryEmbedding {
    frequencies: Vec<f32>,
    dynamic: Option<Dynamic>,
}

/// Parameters with which dynamic scaling recomputes the frequencies for a longer sequence.
#[derive(Debug, Clone)]
struct Dynamic {
    theta: f64,
    factor: f64,
    max_positions: usize,
}

impl RotaryEmbedding {
    /// Values of a head.
    pub(crate) fn head_width(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// Computes the frequencies of a configuration.
    pub fn new(config: &LlamaConfig) -> Self {
        let theta = config.theta();
        let half = config.head_width() / 2;
        let mut frequencies = frequencies(theta, half);
        let mut dynamic = None;
        if let Some(scaling) = &config.rope_scaling {
            match scaling.rope_type.as_str() {
                "linear" => frequencies.iter_mut().for_each(|f| *f /= scaling.factor),
                "dynamic" => {
                    dynamic = Some(Dynamic {
                        theta,
                        factor: scaling.factor,
                        max_positions: config.max_position_embeddings,
                    });
                }
                "llama3" => {
                    let low = scaling.low_freq_factor.unwrap_or(1.0);
                    let high = scaling.high_freq_factor.unwrap_or(4.0);
                    let original = scaling
                        .original_max_position_embeddings
                        .unwrap_or(config.max_position_embeddings);
                    for f in &mut frequencies {
                        let turns = original as f64 * *f / std::f64::consts::TAU;
                        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                        *f = (1.0 - kept) * *f / scaling.factor + kept * *f;
                    }
                }
                _ => {}
            }
        }
        Self {
            frequencies: frequencies.into_iter().map(|f| f as f32).collect(),
            dynamic,
        }
    }

    /// Divides the frequencies by as many factors.
    pub(crate) fn divided_by(mut self, factors: &[f32]) -> Self {
        for (frequency, factor) in self.frequencies.iter_mut().zip(factors) {
            *frequency /= factor;
        }
        self
    }

    /// Returns whether sequences may exceed the configuration's `max_position_embeddings`.
    pub fn is_unbounded(&self) -> bool {
        self.dynamic.is_some()
    }

    /// Computes the angles of each position, in f32, and returns them in `dtype`, shared by all
    /// layers. `length` is the length of the whole sequence including the past, on which dynamic
    /// scaling depends.
    ///
    /// # Shapes
    /// - position_ids: `[batch or 1, positions]`
    /// - output: cosines and sines, each `[batch or 1, 1, positions, head_dim / 2]`
    pub fn rotation<B: Backend>(
        &self,
        position_ids: Tensor<B, 2, Int>,
        length: usize,
        dtype: DType,
    ) -> Angles<B> {
        let device = position_ids.device();
        let frequencies = self.at_length(length);
        let half = frequencies.len();
        let frequencies = Tensor::<B, 3>::from_data(
            TensorData::new(frequencies, [1, 1, half]),
            (&device, DType::F32),
        );
        let positions: Tensor<B, 2> = position_ids.cast(FloatDType::F32);
        let angles = (positions.unsqueeze_dim::<3>(2) * frequencies).unsqueeze_dim::<4>(1);
        let cos = angles.clone().cos().cast(dtype);
        Angles::new(cos, angles.sin().cast(dtype))
    }

    fn at_length(&self, length: usize) -> Vec<f32> {
        match &self.dynamic {
            Some(dynamic) if length > dynamic.max_positions => {
                let half = self.frequencies.len();
                let dim = 2.0 * half as f64;
                let stretch = dynamic.factor * length as f64 / dynamic.max_positions as f64
                    - (dynamic.factor - 1.0);
                let theta = dynamic.theta * stretch.powf(dim / (dim - 2.0).max(1.0));
                frequencies(theta, half)
                    .into_iter()
                    .map(|f| f as f32)
                    .collect()
            }
            _ => self.frequencies.clone(),
        }
    }
}

fn frequencies(theta: f64, half: usize) -> Vec<f64> {
    (0..half)
        .map(|i| theta.powf(-(i as f64) / half as f64))
        .collect()
}
