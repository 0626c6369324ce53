//! Merging of one weight at a time, without a model in memory.

use burn::tensor::{DType, TensorData};

use super::adapter::PeftAdapter;
use crate::error::{Error, Result};

impl PeftAdapter {
    /// Adds the adapter of a projection to its weight, in f32. Returns `None` when the projection
    /// has no adapter.
    ///
    /// # Shapes
    /// - weight and result: `[outputs, inputs]`, as PyTorch stores it
    ///
    /// # Errors
    /// When the shapes do not fit or the adapter cannot be read.
    pub fn merge(&self, projection: &str, weight: TensorData) -> Result<Option<TensorData>> {
        let Some(low_rank) = self.projection(projection) else {
            return Ok(None);
        };
        let (a, b) = (low_rank.a.read()?, low_rank.b.read()?);
        let (rank, inputs) = (low_rank.a.shape[0], low_rank.a.shape[1]);
        let outputs = low_rank.b.shape[0];
        if weight.shape.to_vec() != [outputs, inputs] {
            return Err(Error::Adapter {
                path: self.path().into(),
                problem: format!(
                    "`{projection}` is {:?} in the model and {:?} in the adapter; use the model that it was trained on",
                    weight.shape.to_vec(),
                    [outputs, inputs]
                ),
            });
        }
        let (a, b) = (floats(a), floats(b));
        let mut sum = floats(weight);
        let scaling = self.config.lora.scaling() as f32;
        for (row, b) in sum.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            for (&factor, a) in b.iter().zip(a.chunks_exact(inputs)) {
                let factor = factor * scaling;
                for (value, &a) in row.iter_mut().zip(a) {
                    *value += factor * a;
                }
            }
        }
        Ok(Some(TensorData::new(sum, [outputs, inputs])))
    }
}

fn floats(data: TensorData) -> Vec<f32> {
    data.convert_dtype(DType::F32).iter::<f32>().collect()
}
