//! Reading of results from a device.

use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, Tensor, TensorData};

use crate::{Error, Result};

/// Values of a tensor, once the device has computed them.
pub(crate) async fn read<B: Backend, const D: usize, K: BasicOps<B>>(
    tensor: Tensor<B, D, K>,
) -> Result<TensorData> {
    let values = tensor.into_data_async().await;
    values.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::Execution { reason }
    })
}
