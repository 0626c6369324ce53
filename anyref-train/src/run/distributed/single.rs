//! Worker for builds without the feature `collective`: a type without values.

use core::convert::Infallible;
use core::marker::PhantomData;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;

use super::super::checkpoint::Position;
use super::error::DistributedError;
use super::topology::Topology;

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
    ) -> Result<Self, DistributedError> {
        let count = count * topology.map_or(1, Topology::count);
        Err(DistributedError::NotBuilt { count })
    }

    pub(in crate::run) fn check_same<M: Module<B>>(
        &self,
        _position: &Position,
        _settings: u64,
        _module: &M,
    ) -> Result<(), DistributedError> {
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
    ) -> Result<GradientsParams, DistributedError> {
        match self.nobody {}
    }

    pub(in crate::run) fn finish(self) -> Result<(), DistributedError> {
        match self.nobody {}
    }
}
