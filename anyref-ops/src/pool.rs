//! The threads that kernels run on.

use burn::tensor::backend::Backend;

use super::dispatch::FlexKind;

/// Runs `work` on one of the threads that the processor's kernels share, or where it is called on
/// any other backend and where gradients are computed. A kernel that is called from outside of them is handed over and waited for; a
/// model of many small kernels is handed over once this way.
pub fn within_pool<B: Backend, R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match FlexKind::of::<B>() == Some(FlexKind::Inference) {
        true => rayon::join(work, || ()).0,
        false => work(),
    }
}
