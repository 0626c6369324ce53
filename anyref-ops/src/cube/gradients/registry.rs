//! Operations on graphs of all backends that have kernels.

use std::sync::LazyLock;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement};
use burn_fusion::Fusion;

use super::{attention, rotary, tracked_losses, tracked_norm, tracked_swiglu, untracked};
use crate::cube::backend::KernelBackend;
use crate::cube::calls::{KernelAttention, NormParameters};
use crate::cube::gpu_backends::{GpuBackendVisitor, visit_gpu_backends};
use crate::dispatch::Forms;

type Attend<B> = fn(KernelAttention<'_, B>) -> Option<Tensor<B, 4>>;
type NormOf<B> = fn(Tensor<B, 2>, Option<Tensor<B, 2>>, &NormParameters<B>) -> Vec<Tensor<B, 2>>;
type Losses<B> = fn(Tensor<B, 2>, Tensor<B, 1, Int>) -> Tensor<B, 1>;
type Positions<B> = fn(&Tensor<B, 4>, [&Tensor<B, 2>; 2], [usize; 2]) -> Option<[Tensor<B, 4>; 2]>;
/// Rotation by angles, of which the tensors of the graph are ignored.
type Rotate<B> = fn([Tensor<B, 4>; 2], [Tensor<B, 4>; 2]) -> [Tensor<B, 4>; 2];

/// Operations of a backend that records a graph.
pub(super) struct TrackedKernels<B: Backend> {
    pub(super) attend: Attend<B>,
    pub(super) position_products: Positions<B>,
    pub(super) norm: NormOf<B>,
    pub(super) swiglu: fn([Tensor<B, 2>; 2]) -> Tensor<B, 2>,
    pub(super) token_losses: Losses<B>,
    pub(super) rotate: Rotate<B>,
}

impl<B: Backend> Clone for TrackedKernels<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for TrackedKernels<B> {}

/// Operations of backend `B`; `None` unless it is `Autodiff` over a backend with kernels.
pub(super) fn tracked_kernels<B: Backend>() -> Option<TrackedKernels<B>> {
    FORMS.get::<B, TrackedKernels<B>>()
}

/// Forms of all backends. Outside of generic functions, which would compile all kernels in every crate
/// that calls them.
static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let mut forms = Adding(Forms::default());
    visit_gpu_backends(&mut forms);
    forms.0
});

struct Adding(Forms);

impl GpuBackendVisitor for Adding {
    fn visit<R: CubeRuntime, F: FloatElement, BT: BoolElement>(&mut self) {
        fn add<B: KernelBackend, C: CheckpointStrategy>(forms: &mut Forms) {
            forms.insert::<Autodiff<B, C>, TrackedKernels<Autodiff<B, C>>>(TrackedKernels {
                attend: attention::attend::<B, C>,
                position_products: untracked::position_products::<B, C>,
                norm: tracked_norm::norm::<B, C>,
                swiglu: tracked_swiglu::swiglu::<B, C>,
                token_losses: tracked_losses::token_losses::<B, C>,
                rotate: rotary::rotate::<B, C>,
            });
        }
        fn add_both<B: KernelBackend>(forms: &mut Forms) {
            add::<B, NoCheckpointing>(forms);
            add::<B, BalancedCheckpointing>(forms);
        }
        add_both::<CubeBackend<R, F, i32, BT>>(&mut self.0);
        add_both::<Fusion<CubeBackend<R, F, i32, BT>>>(&mut self.0);
    }
}
