//! Choice between tensor cores and units by measurement, once for a device and a kind of attention.

use core::fmt::{self, Display, Formatter};

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, CubeTuneId, tensor::CubeTensor};
use cubecl::tune::{
    AutotuneKey, AutotuneOutput, LocalTuner, Tunable, TunableSet, anchor, local_tuner,
};
use serde::{Deserialize, Serialize};

use super::kernel::Changes;
use super::operands::{Operands, Options};

/// Attentions for which one choice is made; numbers of heads, queries and keys are rounded up to
/// powers of two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Kind {
    dtype: DType,
    heads: usize,
    queries: usize,
    keys: usize,
    widths: [usize; 2],
    changes: Changes,
    keeping: bool,
}

impl Display for Kind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl AutotuneKey for Kind {}

impl Kind {
    fn new<R: CubeRuntime>(operands: &Operands<R>) -> Self {
        let Operands { options, query, .. } = operands;
        let Options {
            changes, keeping, ..
        } = *options;
        let shape = query.meta.shape();
        let rounded = |count| anchor(count, None, None, None);
        Self {
            dtype: query.dtype,
            heads: rounded(shape[0] * shape[1]),
            queries: rounded(shape[2]),
            keys: rounded(operands.key.meta.shape()[2]),
            widths: operands.widths(),
            changes,
            keeping,
        }
    }
}

/// Output tensors of an attention.
struct Outputs<R: CubeRuntime>(Vec<CubeTensor<R>>);

impl<R: CubeRuntime> AutotuneOutput for Outputs<R> {}

/// Attention in the faster form. A form that the device refuses is not taken.
pub(super) fn by_measurement<R: CubeRuntime>(operands: Operands<R>) -> Vec<CubeTensor<R>> {
    static TUNER: LocalTuner<Kind, CubeTuneId> = local_tuner!();

    let forms = TUNER.init(|| {
        TunableSet::<Kind, Operands<R>, Outputs<R>>::new_cloning_inputs(Kind::new::<R>)
            .with(Tunable::new("units", |operands: Operands<R>| {
                Ok::<_, String>(Outputs(operands.launch_units()))
            }))
            .with(Tunable::new("tensor_cores", |operands: Operands<R>| {
                let tile = operands.matrix_tile().ok_or("no tile for tensor cores")?;
                Ok::<_, String>(Outputs(operands.launch_matrices(tile)))
            }))
    });
    let client = operands.query.client.clone();
    let id = CubeTuneId::new(&client, &operands.query.device);
    TUNER.execute(&id, &client, forms, operands).0
}
