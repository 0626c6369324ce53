//! Training on several devices and machines, with averaged gradients.

#[cfg(feature = "collective")]
mod all_reduce;
#[cfg(not(feature = "collective"))]
mod single;
pub mod topology;
#[cfg(feature = "collective")]
mod worker;

#[cfg(not(feature = "collective"))]
pub(in crate::run) use single::{Peer, PeerStopped};
#[cfg(feature = "collective")]
pub(in crate::run) use worker::{Peer, PeerStopped};
