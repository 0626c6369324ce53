//! Operations of all backends that have kernels.

use std::sync::OnceLock;

use burn::tensor::backend::Backend;

use super::backends::each_backend;
use super::forms::BlockForms;
use crate::dispatch::Forms;

/// Operations of backend `B`; `None` where it has no kernels.
pub(crate) fn block_forms<B: Backend>() -> Option<BlockForms<B>> {
    static FORMS: OnceLock<Forms> = OnceLock::new();
    let forms = FORMS.get_or_init(|| {
        let mut forms = Forms::default();
        each_backend(&mut forms);
        forms
    });
    forms.get::<B, BlockForms<B>>()
}
