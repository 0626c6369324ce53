//! Seconds and outputs of a part, and their distance from the reference's.

use std::error::Error;
use std::time::Instant;

use anyref_ops::testing::max_abs_difference;
use anyref_weights::testing::Fixture;
use burn::backend::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};
use serde_json::{Value, json};

/// Backend that is measured.
pub type B = Flex;

/// Name of the output of a part that has one.
pub const OUTPUT: &str = "output";

/// Seconds of each run, and the last outputs.
#[derive(Default)]
pub struct Measured {
    pub load: f64,
    pub runs: Vec<f64>,
    pub steps: Vec<f64>,
    /// Outputs by the reference's names.
    pub outputs: Vec<(&'static str, TensorData)>,
}

impl Measured {
    pub fn new(start: Instant) -> Self {
        Self {
            load: start.elapsed().as_secs_f64(),
            ..Self::default()
        }
    }

    /// Runs a computation `times` times.
    pub fn times<const D: usize>(self, times: usize, run: impl Fn() -> Tensor<B, D>) -> Self {
        self.times_of(times, || vec![(OUTPUT, values(run()))])
    }

    /// Runs a computation of several outputs `times` times.
    pub fn times_of(
        mut self,
        times: usize,
        run: impl Fn() -> Vec<(&'static str, TensorData)>,
    ) -> Self {
        for _ in 0..times {
            let start = Instant::now();
            self.outputs = run();
            self.runs.push(start.elapsed().as_secs_f64());
        }
        self
    }

    /// Seconds, and for each output the largest difference from the reference's and its largest
    /// value.
    ///
    /// # Errors
    /// When nothing was computed.
    pub fn compared(&self, expected: &Fixture) -> Result<Value, Box<dyn Error>> {
        if self.outputs.is_empty() {
            return Err("TIMES is 0".into());
        }
        let compared = self.outputs.iter().map(|(name, output)| {
            let (output, expected) = (flat(output.clone()), flat(expected.data(name)));
            let values = expected.iter::<f64>();
            let scale = values.fold(0.0, |most: f64, x| most.max(x.abs()));
            json!([name, max_abs_difference(&output, &expected), scale])
        });
        Ok(json!({
            "load": self.load,
            "runs": self.runs,
            "steps": self.steps,
            "errors": compared.collect::<Vec<_>>(),
        }))
    }
}

/// Values of a tensor, as 32-bit floats.
pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> TensorData {
    tensor.into_data().convert_dtype(DType::F32)
}

/// The values in one row, as one side may have them and the other not.
fn flat(data: TensorData) -> TensorData {
    TensorData {
        shape: [data.num_elements()].into(),
        ..data
    }
}
