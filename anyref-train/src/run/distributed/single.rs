//! What takes the place of several devices in a build without the feature `collective`.

use core::convert::Infallible;
use core::marker::PhantomData;

use anyhow::{Result, bail};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;

use super::super::checkpoint::Position;
use super::topology::Nodes;

/// What a device would say when another one has failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another device stopped")]
pub(in crate::run) struct PeerStopped;

/// There is none.
#[derive(Debug)]
pub(in crate::run) struct Peer<B: AutodiffBackend> {
    nobody: Infallible,
    backend: PhantomData<fn() -> B>,
}

impl<B: AutodiffBackend> Peer<B> {
    pub(in crate::run) fn join(
        _rank: usize,
        count: usize,
        nodes: Option<&Nodes>,
        _device: &B::Device,
    ) -> Result<Self> {
        let count = count * nodes.map_or(1, Nodes::count);
        bail!("{count} devices learn together in a build with `--features collective` only")
    }

    pub(in crate::run) fn agree<M: Module<B>>(
        &self,
        _position: &Position,
        _plan: u64,
        _module: &M,
    ) -> Result<()> {
        match self.nobody {}
    }

    pub(in crate::run) fn is_first_here(&self) -> bool {
        match self.nobody {}
    }

    pub(in crate::run) fn node(&self) -> usize {
        match self.nobody {}
    }

    pub(in crate::run) fn rank(&self) -> usize {
        match self.nobody {}
    }

    pub(in crate::run) fn count(&self) -> usize {
        match self.nobody {}
    }

    pub(in crate::run) fn average<M: Module<B>>(
        &self,
        _module: &M,
        _gradients: GradientsParams,
    ) -> Result<GradientsParams> {
        match self.nobody {}
    }

    pub(in crate::run) fn finish(self) -> Result<()> {
        match self.nobody {}
    }
}
