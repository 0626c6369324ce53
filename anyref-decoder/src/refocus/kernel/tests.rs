//! Kernels write every number of their buffers and read none that they have not written: in the
//! tests of this module every buffer is full of NaN before its first launch.

use burn::tensor::{DType, Shape};
use burn_cubecl::ops::numeric::full_device_dtype;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::client::ComputeClient;
use cubecl::prelude::InputScalar;

/// Allocates a buffer full of NaN.
pub(super) fn poisoned<R: CubeRuntime>(
    client: ComputeClient<R>,
    device: R::Device,
    shape: Shape,
    dtype: DType,
) -> CubeTensor<R> {
    let nan = InputScalar::new(f32::NAN, dtype);
    let buffer = full_device_dtype(client, shape, device, nan, dtype);
    assert!(buffer.is_contiguous(), "a buffer without gaps");
    buffer
}

#[cfg(feature = "flex")]
mod gpu {
    use anyref_ops::testing::random;
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::backend::Backend;
    use burn::tensor::{DType, Tensor, TensorData};

    use crate::refocus::{ObjectToken, RefocusInput, reference, refocus};

    /// Computes the states, and the gradients of query, key and hidden states, of arguments rounded
    /// to a type.
    fn run<B: Backend>(
        objects: &[ObjectToken],
        dtype: DType,
        refocus: fn(RefocusInput<Autodiff<B>>) -> Tensor<Autodiff<B>, 2>,
    ) -> [TensorData; 4] {
        let device = Default::default();
        let query = random::<Autodiff<B>, 3>([objects.len(), 6, 12], 1, &device);
        let key = random::<Autodiff<B>, 4>([3, 2, 150, 12], 2, &device);
        let hidden = random::<Autodiff<B>, 3>([3, 140, 37], 3, &device);
        let query = query.cast(dtype).detach().require_grad();
        let key = key.cast(dtype).detach().require_grad();
        let hidden = hidden.cast(dtype).detach().require_grad();
        let states = refocus(RefocusInput {
            query: query.clone(),
            key: key.clone(),
            hidden: hidden.clone(),
            hidden_offset: 10,
            objects: objects.to_vec(),
            lambda: 0.3,
        });
        let weights = random([objects.len(), 37], 4, &device);
        let grads = (states.clone().cast(DType::F32) * weights).sum().backward();
        let zeros = |shape: &[usize]| TensorData::zeros::<f32, _>(shape.to_vec());
        let found = [
            states.into_data(),
            query
                .grad(&grads)
                .map_or_else(|| zeros(&query.dims()), Tensor::into_data),
            key.grad(&grads)
                .map_or_else(|| zeros(&key.dims()), Tensor::into_data),
            hidden
                .grad(&grads)
                .map_or_else(|| zeros(&hidden.dims()), Tensor::into_data),
        ];
        found.map(|data| data.convert_dtype(DType::F32))
    }

    fn every_number_is_written<B: Backend>() {
        let object = |row, context_start, position, start, end| ObjectToken {
            row,
            position,
            start,
            end,
            context_start,
        };
        // Row 1 has no object; spans are empty, one state long, or the whole context.
        let mixed = [
            object(2, 0, 149, 10, 149),
            object(0, 7, 12, 10, 12),
            object(2, 130, 148, 20, 132),
            object(0, 0, 90, 90, 90),
            object(0, 3, 10, 10, 11),
        ];
        let empty = [object(0, 0, 90, 50, 50), object(2, 0, 149, 149, 11)];
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 1e-2), (DType::BF16, 5e-2)] {
            if !B::supports_dtype(&Default::default(), dtype) {
                continue;
            }
            for objects in [&mixed[..], &empty[..]] {
                let actual = run::<B>(objects, dtype, refocus);
                let expected = run::<Flex>(objects, dtype, reference::refocus);
                for (actual, expected) in actual.iter().zip(&expected) {
                    assert_eq!(actual.shape, expected.shape);
                    let pairs = actual.iter::<f32>().zip(expected.iter::<f32>());
                    for (index, (actual, expected)) in pairs.enumerate() {
                        let error = (actual - expected).abs();
                        assert!(
                            error < tolerance,
                            "{dtype:?} [{index}]: {actual}, not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[cfg(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "metal",
        feature = "webgpu"
    ))]
    #[test]
    fn every_number_is_written_on_wgpu() {
        use burn::backend::wgpu::{CubeBackend, WgpuRuntime};
        every_number_is_written::<CubeBackend<WgpuRuntime, f32, i32, u32>>();
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn every_number_is_written_on_cuda() {
        use burn_cubecl::CubeBackend;
        use cubecl::cuda::CudaRuntime;
        every_number_is_written::<CubeBackend<CudaRuntime, f32, i32, u8>>();
    }
}
