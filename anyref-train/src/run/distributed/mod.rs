//! Training on several devices and machines, with averaged gradients.

#[cfg(feature = "collective")]
mod all_reduce;
#[cfg(not(feature = "collective"))]
mod single;
mod topology;
#[cfg(feature = "collective")]
mod worker;

#[cfg(not(feature = "collective"))]
pub(in crate::run) use single::{Worker, WorkerStopped};
pub use topology::Topology;
#[cfg(feature = "collective")]
pub(in crate::run) use worker::{Worker, WorkerStopped};
