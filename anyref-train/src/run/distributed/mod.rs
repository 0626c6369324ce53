//! Training on several devices and machines, with averaged gradients.

#[cfg(feature = "collective")]
mod all_reduce;
mod error;
#[cfg(not(feature = "collective"))]
mod single;
mod topology;
#[cfg(feature = "collective")]
mod worker;

pub use error::DistributedError;
#[cfg(not(feature = "collective"))]
pub(in crate::run) use single::Worker;
pub use topology::Topology;
#[cfg(feature = "collective")]
pub(in crate::run) use worker::Worker;
