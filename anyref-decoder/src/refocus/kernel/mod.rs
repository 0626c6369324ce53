//! Refocusing on a GPU: kernels of CubeCL, for every runtime and float type.
//!
//! All buffers between launches are in f32 and no larger than a number a position of each object's span, and two a
//! head and chunk of its context; scores are formed again where they are needed. Sums have a fixed order, so that
//! results are the same at every run.

mod backward;
mod backward_attention;
mod forward;
mod launch;
mod launch_backward;
mod reduce;
mod table;
#[cfg(test)]
mod tests;
mod tile;

pub(super) use launch::refocus;
pub(super) use launch_backward::refocus_backward;
