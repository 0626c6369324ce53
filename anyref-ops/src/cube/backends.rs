//! Backends with kernels: `CubeBackend` of each runtime that is compiled in, with fusion and
//! without.

use core::ops::Range;

use burn::tensor::DType;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_fusion::Fusion;

use super::backend::BlockBackend;
use super::forms::add_with_autodiff;
use super::kernel;
use crate::blocks::PlaneLayout;
use crate::dispatch::Forms;

impl<R, F, I, BT> BlockBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn block_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: PlaneLayout,
    ) -> FloatTensor<Self> {
        kernel::product(x, words, layout)
    }

    fn block_range(
        words: IntTensor<Self>,
        layout: PlaneLayout,
        range: Range<usize>,
        dtype: DType,
    ) -> FloatTensor<Self> {
        kernel::range(words, layout, range, dtype)
    }

    fn block_rows(
        words: IntTensor<Self>,
        indices: IntTensor<Self>,
        layout: PlaneLayout,
        dtype: DType,
    ) -> FloatTensor<Self> {
        kernel::rows(words, indices, layout, dtype)
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
