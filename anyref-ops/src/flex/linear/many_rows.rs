//! Product of many rows for each storage type of weights.

use burn::tensor::{bf16, f16};

#[cfg(target_arch = "x86_64")]
use super::arithmetic::Pairs;
use super::arithmetic::{Arithmetic, Straight, Wide};
#[cfg(target_arch = "x86_64")]
use super::bf16_dot;
use super::ending::Ending;
use super::narrow;
use super::output::Output;
use super::stored::Stored;
use super::tiles;
use super::weight::Weight;

/// Function that writes the finished `x · weight` to all of its last argument.
pub(crate) type Product<H> = fn(&[f32], Weight<'_, H>, Ending<'_>, Output<'_>);

/// Storage type with products of many rows.
pub(crate) trait ManyRows: Stored {
    /// Product in f32.
    fn exact_product() -> Product<Self> {
        of_size::<Self, Wide>
    }

    /// Fastest product, which may round the rows to this type.
    fn rounded_product() -> Product<Self> {
        Self::exact_product()
    }
}

impl ManyRows for f16 {}

impl ManyRows for bf16 {
    #[cfg(target_arch = "x86_64")]
    fn rounded_product() -> Product<Self> {
        match bf16_dot::are_multiplied() {
            true => of_size::<Self, Pairs>,
            false => Self::exact_product(),
        }
    }
}

impl ManyRows for f32 {
    fn exact_product() -> Product<Self> {
        of_size::<Self, Straight>
    }
}

/// Product in the form that fits its sizes.
fn of_size<H: Stored, A: Arithmetic<H>>(
    x: &[f32],
    weight: Weight<'_, H>,
    ending: Ending<'_>,
    out: Output<'_>,
) {
    let Weight { depth, width, .. } = weight;
    match narrow::fits(x.len() / depth, depth, width) {
        true => narrow::product::<H, A>(x, weight, ending, out),
        false => tiles::product::<H, A>(x, weight, ending, out),
    }
}
