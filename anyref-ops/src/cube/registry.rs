//! Kernels of all backends that have them.

use std::sync::LazyLock;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement};
use burn_fusion::Fusion;

use super::backend::{Input, KernelBackend};
use super::cell_sum::CellSum;
use super::few_keys::FewKeys;
use super::few_queries::FewQueries;
use super::gemv::Gemv;
use super::gpu_backends::{GpuBackendVisitor, visit_gpu_backends};
use super::grid_sinusoids::GridSinusoids;
use super::joined_rows::JoinedRows;
use super::many_queries::{ManyQueries, PositionProducts};
use super::norm::Norm;
use super::placed_norm::PlacedNorm;
use super::rotary::Rotary;
use super::rotary_append::RotaryAppend;
use super::row_products::RowProducts;
use super::short_columns::ShortColumns;
use super::swiglu::SwiGlu;
use super::token_losses::TokenLosses;
use crate::dispatch::Forms;

/// Function that runs operation `O` on backend `B`.
pub(crate) type Kernel<B, O> = fn(O, Vec<Input<B>>) -> Vec<FloatTensor<B>>;

/// Kernels of backend `B`.
pub(crate) struct Kernels<B: Backend> {
    pub(crate) norm: Kernel<B, Norm>,
    pub(crate) placed_norm: Kernel<B, PlacedNorm>,
    pub(crate) rotary: Kernel<B, Rotary>,
    pub(crate) rotary_append: Kernel<B, RotaryAppend>,
    pub(crate) swiglu: Kernel<B, SwiGlu>,
    pub(crate) gemv: Kernel<B, Gemv>,
    pub(crate) short_columns: Kernel<B, ShortColumns>,
    pub(crate) few_queries: Kernel<B, FewQueries>,
    pub(crate) many_queries: Kernel<B, ManyQueries>,
    pub(crate) position_products: Kernel<B, PositionProducts>,
    pub(crate) few_keys: Kernel<B, FewKeys>,
    pub(crate) token_losses: Kernel<B, TokenLosses>,
    pub(crate) row_products: Kernel<B, RowProducts>,
    pub(crate) joined_rows: Kernel<B, JoinedRows>,
    pub(crate) cell_sum: Kernel<B, CellSum>,
    pub(crate) grid_sinusoids: Kernel<B, GridSinusoids>,
}

impl<B: Backend> Clone for Kernels<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Kernels<B> {}

/// Kernels of backend `B`, or `None` where there are none: on the processor and where gradients are
/// recorded.
pub(crate) fn kernels<B: Backend>() -> Option<Kernels<B>> {
    FORMS.get::<B, Kernels<B>>()
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
        fn add<B: KernelBackend>(forms: &mut Forms) {
            forms.insert::<B, Kernels<B>>(Kernels {
                norm: B::run,
                placed_norm: B::run,
                rotary: B::run,
                rotary_append: B::run,
                swiglu: B::run,
                gemv: B::run,
                short_columns: B::run,
                few_queries: B::run,
                many_queries: B::run,
                position_products: B::run,
                few_keys: B::run,
                token_losses: B::run,
                row_products: B::run,
                joined_rows: B::run,
                cell_sum: B::run,
                grid_sinusoids: B::run,
            });
        }
        add::<CubeBackend<R, F, i32, BT>>(&mut self.0);
        add::<Fusion<CubeBackend<R, F, i32, BT>>>(&mut self.0);
    }
}
