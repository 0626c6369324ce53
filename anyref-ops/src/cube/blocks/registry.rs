//! Operations on weights in blocks of all backends that have kernels.

use std::sync::LazyLock;

use burn::tensor::backend::Backend;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement};
use burn_fusion::Fusion;

use super::forms::{BlockForms, add_with_autodiff};
use crate::cube::gpu_backends::{GpuBackendVisitor, visit_gpu_backends};
use crate::dispatch::Forms;

/// Operations of backend `B`; `None` where it has no kernels.
pub(crate) fn block_forms<B: Backend>() -> Option<BlockForms<B>> {
    FORMS.get::<B, BlockForms<B>>()
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
        add_with_autodiff::<CubeBackend<R, F, i32, BT>>(&mut self.0);
        add_with_autodiff::<Fusion<CubeBackend<R, F, i32, BT>>>(&mut self.0);
    }
}
