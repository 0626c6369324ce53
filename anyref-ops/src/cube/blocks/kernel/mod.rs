//! CubeCL kernels over weights in planes of words, for every runtime and float type. Weights are
//! decoded in registers and sums are f32, in a fixed order.
//!
//! * [`few`]: a team of units for each output, which reads the words once for a few rows.
//! * [`many`]: tiles of rows and outputs, decoded into shared memory.
//! * [`widen`]: rows of the weight as floats.

mod decode;
mod few;
mod launch;
mod many;
mod widen;

pub(super) use launch::{product, range, rows};
