//! Operations on weights in blocks of all backends that have kernels.

use std::sync::OnceLock;

use burn::tensor::backend::Backend;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement};
use burn_fusion::Fusion;

use super::forms::{BlockForms, add_with_autodiff};
use crate::cube::gpu_backends::{GpuBackendVisitor, visit_gpu_backends};
use crate::dispatch::Forms;

/// Operations of backend `B`; `None` where it has no kernels.
pub(crate) fn block_forms<B: Backend>() -> Option<BlockForms<B>> {
    forms().get::<B, BlockForms<B>>()
}

/// Forms of all backends. Not generic, so that kernels are compiled in this crate alone: a generic
/// function would compile them in every crate that calls it.
#[inline(never)]
fn forms() -> &'static Forms {
    static FORMS: OnceLock<Forms> = OnceLock::new();
    FORMS.get_or_init(|| {
        let mut forms = Adding(Forms::default());
        visit_gpu_backends(&mut forms);
        forms.0
    })
}

struct Adding(Forms);

impl GpuBackendVisitor for Adding {
    fn visit<R: CubeRuntime, F: FloatElement, BT: BoolElement>(&mut self) {
        add_with_autodiff::<CubeBackend<R, F, i32, BT>>(&mut self.0);
        add_with_autodiff::<Fusion<CubeBackend<R, F, i32, BT>>>(&mut self.0);
    }
}
