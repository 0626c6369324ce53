//! Products and rows of weights in [blocks](crate::blocks).
//!
//! No kernel stores the weight's values as floats, but for a bounded number of outputs at a time
//! where there are many rows, and for the gradient of the input. [`BlockForms`] are what layers
//! call.

mod forms;
mod kernel;
mod operation;
mod product;
mod registry;
#[cfg(all(test, any(feature = "wgpu", feature = "vulkan", feature = "cuda")))]
mod tests;
mod tracked;

pub(crate) use forms::BlockForms;
pub(crate) use registry::block_forms;
