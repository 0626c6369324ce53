//! Rows for tokens that a vocabulary did not have.

use anyref_weights::{OutputTensor, TensorEntry};
use burn::tensor::{DType, TensorData};

use super::fresh;

/// A table with rows added from `normal(0, spread)`, as transformers resizes it.
pub(super) fn grown(
    name: &str,
    entry: &TensorEntry,
    rows: usize,
    spread: f64,
    seed: u64,
    dtype: DType,
) -> OutputTensor {
    let (entry, key) = (entry.clone(), name.to_owned());
    let (known, width) = (entry.shape[0], entry.shape[1]);
    OutputTensor::new(name, dtype, [rows, width], move || {
        let old = entry.read()?.convert_dtype(dtype);
        let rng = fresh::generator(seed, &key);
        let new = fresh::normal(&[rows - known, width], spread, rng).convert_dtype(dtype);
        let mut bytes = old.as_bytes().to_vec();
        bytes.extend_from_slice(new.as_bytes());
        Ok(TensorData::from_bytes_vec(bytes, [rows, width], dtype))
    })
}
