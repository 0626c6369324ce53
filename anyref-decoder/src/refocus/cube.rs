//! GPU backends without autodiff and fusion, which run the kernels.

use anyref_ops::dispatch::Forms;
use anyref_ops::{GpuBackendVisitor, visit_gpu_backends};
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

/// Adds the backends of the runtimes that are compiled in, with fusion and without.
pub(super) fn each_backend(forms: &mut Forms) {
    visit_gpu_backends(&mut Adding(forms));
}

struct Adding<'a>(&'a mut Forms);

impl GpuBackendVisitor for Adding<'_> {
    fn visit<R: CubeRuntime, F: FloatElement, BT: BoolElement>(&mut self) {
        add_with_autodiff::<CubeBackend<R, F, i32, BT>>(self.0);
        add_with_autodiff::<Fusion<CubeBackend<R, F, i32, BT>>>(self.0);
    }
}
