//! Worker for builds without the feature `collective`: a type without values.

use core::convert::Infallible;
use core::marker::PhantomData;

use anyhow::{Result, bail};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;

use super::super::checkpoint::Position;
use super::topology::Topology;

/// Error of a device after another one has failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another device stopped")]
pub(in crate::run) struct WorkerStopped;

/// A type without values.
#[derive(Debug)]
pub(in crate::run) struct Worker<B: AutodiffBackend> {
    nobody: Infallible,
    backend: PhantomData<fn() -> B>,
}

impl<B: AutodiffBackend> Worker<B> {
    pub(in crate::run) fn join(
        _rank: usize,
        count: usize,
        topology: Option<&Topology>,
        _device: &B::Device,
    ) -> Result<Self> {
        let count = count * topology.map_or(1, Topology::count);
        bail!("{count} devices learn together in a build with `--features collective` only")
    }

    pub(in crate::run) fn check_same<M: Module<B>>(
        &self,
        _position: &Position,
        _settings: u64,
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
