//! Backends of the GPU runtimes that are compiled in.

use burn_cubecl::{BoolElement, CubeRuntime, FloatElement};

/// Receiver of the types of GPU backends.
pub trait GpuBackendVisitor {
    /// Receives `CubeBackend<R, F, i32, BT>`, which burn uses with fusion and without.
    fn visit<R: CubeRuntime, F: FloatElement, BT: BoolElement>(&mut self);
}

/// Names the types of each GPU backend that is compiled in to a visitor.
pub fn visit_gpu_backends(visitor: &mut impl GpuBackendVisitor) {
    #[cfg(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "metal",
        feature = "webgpu"
    ))]
    {
        use burn::backend::wgpu::WgpuRuntime;
        use burn::tensor::f16;
        visitor.visit::<WgpuRuntime, f32, u32>();
        visitor.visit::<WgpuRuntime, f32, u8>();
        visitor.visit::<WgpuRuntime, f16, u32>();
        visitor.visit::<WgpuRuntime, f16, u8>();
    }
    #[cfg(feature = "cuda")]
    {
        use burn::tensor::{bf16, f16};
        use cubecl::cuda::CudaRuntime;
        visitor.visit::<CudaRuntime, f32, u8>();
        visitor.visit::<CudaRuntime, f16, u8>();
        visitor.visit::<CudaRuntime, bf16, u8>();
    }
    #[cfg(not(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "metal",
        feature = "webgpu",
        feature = "cuda"
    )))]
    let _ = visitor;
}
