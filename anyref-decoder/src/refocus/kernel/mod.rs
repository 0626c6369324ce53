//! Refocusing on a GPU: CubeCL kernels for every runtime and float type.
//!
//! Buffers between launches are f32, with at most one number for each position of each object's
//! span, and two for each head and chunk of its context; scores are recomputed where they are
//! needed. Sums have a fixed order, so that every run gives equal results.

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
