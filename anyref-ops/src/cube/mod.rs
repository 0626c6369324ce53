//! Kernels for GPUs: products and rows of weights in blocks.
//!
//! Weights stay in the device's memory as [planes of words](crate::blocks); no kernel stores their
//! values as floats, but for a bounded number of outputs at a time where there are many rows, and
//! for the gradient of the input. [`BlockBackend`] is implemented for `CubeBackend` without fusion
//! and, as operations in its stream, with it; [`BlockForms`] are what layers call, with `Autodiff`
//! over any of these too.

mod backend;
mod backends;
mod forms;
mod fusion;
mod kernel;
mod product;
mod registry;
#[cfg(test)]
mod tests;
mod tracked;

pub(crate) use forms::BlockForms;
pub(crate) use registry::block_forms;
