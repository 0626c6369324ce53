//! Thread pool of the kernels.

use burn::tensor::backend::Backend;

use super::dispatch::FlexKind;

/// Runs `work` on a thread of the pool that the processor's kernels share. On any other backend,
/// and where gradients are computed, it runs on the calling thread. A kernel called from outside
/// the pool is handed over and waited for; this function hands over a model of many small kernels
/// once.
pub fn within_pool<B: Backend, R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match FlexKind::of::<B>() == Some(FlexKind::Inference) {
        true => rayon::join(work, || ()).0,
        false => work(),
    }
}
