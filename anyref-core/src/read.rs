//! Reading of results from a device.

use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, Tensor, TensorData};

use crate::Result;

/// Reads the values of a tensor once the device has computed them.
pub(crate) async fn read<B: Backend, const D: usize, K: BasicOps<B>>(
    tensor: Tensor<B, D, K>,
) -> Result<TensorData> {
    Ok(tensor.into_data_async().await?)
}
