//! GPU backends without autodiff and fusion, which run the kernels.

use anyref_ops::dispatch::Forms;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_fusion::Fusion;

use super::form::add_with_autodiff;
use super::{Objects, RefocusBackend, RefocusGradients, kernel};

impl<R, F, I, BT> RefocusBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn refocus(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
    ) -> FloatTensor<Self> {
        kernel::refocus(query, key, hidden, objects)
    }

    fn refocus_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
        gradient: FloatTensor<Self>,
    ) -> RefocusGradients<FloatTensor<Self>> {
        kernel::refocus_backward(query, key, hidden, objects, gradient)
    }
}

/// Adds the backends of the runtimes that are compiled in.
pub(super) fn each_backend(forms: &mut Forms) {
    #[cfg(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "metal",
        feature = "webgpu"
    ))]
    {
        use burn::backend::wgpu::WgpuRuntime;
        use burn::tensor::f16;
        add::<WgpuRuntime, f32, u32>(forms);
        add::<WgpuRuntime, f32, u8>(forms);
        add::<WgpuRuntime, f16, u32>(forms);
        add::<WgpuRuntime, f16, u8>(forms);
    }
    #[cfg(feature = "cuda")]
    {
        use burn::tensor::{bf16, f16};
        use cubecl::cuda::CudaRuntime;
        add::<CudaRuntime, f32, u8>(forms);
        add::<CudaRuntime, f16, u8>(forms);
        add::<CudaRuntime, bf16, u8>(forms);
    }
}

/// Adds a backend with fusion and without.
fn add<R: CubeRuntime, F: FloatElement, BT: BoolElement>(forms: &mut Forms) {
    add_with_autodiff::<CubeBackend<R, F, i32, BT>>(forms);
    add_with_autodiff::<Fusion<CubeBackend<R, F, i32, BT>>>(forms);
}
