//! Refocusing on the processor: objects, heads and rows in parallel, in f32.

mod backward;
mod forward;
mod problem;

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};
use burn_flex::{Flex, FlexTensor};

use super::{Objects, RefocusBackend, RefocusGradients};
use problem::Problem;

impl RefocusBackend for Flex {
    fn refocus(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
    ) -> FloatTensor<Self> {
        let dtype = hidden.dtype();
        let [query, key, hidden] = [plain::<3>(query), plain::<4>(key), plain::<3>(hidden)];
        let problem = Problem::new(&query, &key, &hidden, &objects);
        let output = forward::states(&problem);
        tensor(
            output,
            [objects.tokens().len(), problem.width].into(),
            dtype,
        )
    }

    fn refocus_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
        gradient: FloatTensor<Self>,
    ) -> RefocusGradients<FloatTensor<Self>> {
        let dtypes = [query.dtype(), key.dtype(), hidden.dtype()];
        let [query, key, hidden] = [plain::<3>(query), plain::<4>(key), plain::<3>(hidden)];
        let gradient = plain::<2>(gradient);
        let problem = Problem::new(&query, &key, &hidden, &objects);
        let gradients = backward::gradients(&problem, gradient.storage());
        RefocusGradients {
            query: tensor(gradients.query, query.shape(), dtypes[0]),
            key: tensor(gradients.key, key.shape(), dtypes[1]),
            hidden: tensor(gradients.hidden, hidden.shape(), dtypes[2]),
        }
    }
}

/// Converts a tensor to contiguous f32.
fn plain<const D: usize>(x: FlexTensor) -> FlexTensor {
    cast::<D>(x, DType::F32).to_contiguous()
}

fn cast<const D: usize>(x: FlexTensor, dtype: DType) -> FlexTensor {
    if x.dtype() == dtype {
        return x;
    }
    let x = Tensor::<Flex, D>::from_primitive(TensorPrimitive::Float(x));
    x.cast(dtype).into_primitive().tensor()
}

fn tensor(values: Vec<f32>, shape: Shape, dtype: DType) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape).convert_dtype(dtype))
}
