//! Several devices that learn together, a thread each: burn's collective averages their gradients.

use anyhow::{Result, anyhow};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_collective::{
    CollectiveConfig, CollectiveError, PeerId, ReduceOperation, all_reduce, finish_collective,
    register, reset_collective,
};

/// What a device says when another one has failed; the other's own error is what matters.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another device stopped")]
pub(super) struct PeerStopped;

/// One of the devices that carry out a stage. When it is dropped before [`finish`](Self::finish), by an error or a
/// panic, all others are told, so that none waits for it.
#[derive(Debug)]
pub(super) struct Peer<B: AutodiffBackend> {
    rank: usize,
    count: usize,
    device: B::Device,
    finished: bool,
}

impl<B: AutodiffBackend> Peer<B> {
    /// Joins `count` devices as number `rank`; returns once all of them have. There may be one such group at a time in a
    /// process.
    pub(super) fn join(rank: usize, count: usize, device: &B::Device) -> Result<Self> {
        let config = CollectiveConfig::default().with_num_devices(count);
        register::<B::InnerBackend>(PeerId::from(rank), device.clone(), config)
            .map_err(|error| anyhow!("device {rank} cannot join the others: {error:?}"))?;
        Ok(Self {
            rank,
            count,
            device: device.clone(),
            finished: false,
        })
    }

    /// Its number.
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The mean of all devices' gradients. A parameter that has a gradient on any of them has one on all afterwards:
    /// where it had none, that was 0.
    ///
    /// # Errors
    /// When another device has stopped.
    pub(super) fn average<M: Module<B>>(
        &self,
        module: &M,
        gradients: GradientsParams,
    ) -> Result<GradientsParams> {
        let mut present = Present::<'_> {
            gradients: &gradients,
            flags: Vec::new(),
        };
        Module::<B>::visit(module, &mut present);
        let flags =
            Tensor::<B::InnerBackend, 1>::from_floats(present.flags.as_slice(), &self.device);
        let counts = self.reduce(flags, ReduceOperation::Sum)?;
        let mut average = Average {
            peer: self,
            gradients,
            counts: counts.into_data().convert::<f32>().iter::<f32>().collect(),
            visited: 0,
            failed: None,
        };
        module.visit(&mut average);
        match average.failed {
            Some(error) => Err(error),
            None => Ok(average.gradients),
        }
    }

    /// Leaves the others in peace.
    pub(super) fn finish(mut self) -> Result<()> {
        self.finished = true;
        finish_collective::<B::InnerBackend>(PeerId::from(self.rank)).map_err(failure)
    }

    fn reduce<const D: usize>(
        &self,
        tensor: Tensor<B::InnerBackend, D>,
        operation: ReduceOperation,
    ) -> Result<Tensor<B::InnerBackend, D>> {
        let tensor = tensor.into_primitive().tensor();
        let reduced = all_reduce::<B::InnerBackend>(PeerId::from(self.rank), tensor, operation);
        let reduced = reduced.map_err(failure)?;
        Ok(Tensor::from_primitive(TensorPrimitive::Float(reduced)))
    }
}

impl<B: AutodiffBackend> Drop for Peer<B> {
    fn drop(&mut self) {
        if !self.finished {
            reset_collective::<B::InnerBackend>();
        }
    }
}

/// After a reset the others are unknown, or their operation is gone.
fn failure(error: CollectiveError) -> anyhow::Error {
    use CollectiveError::{LocalServerMissing, MultipleUnregister, RegisterNotFirstOperation};
    match error {
        LocalServerMissing | RegisterNotFirstOperation | MultipleUnregister => PeerStopped.into(),
        other => anyhow!("the devices' gradients cannot be averaged: {other:?}"),
    }
}

/// Which trained parameters have a gradient, in the order of the module.
struct Present<'a> {
    gradients: &'a GradientsParams,
    flags: Vec<f32>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Present<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if param.is_require_grad() {
            let gradient = self.gradients.get::<B::InnerBackend, D>(param.id);
            self.flags.push(f32::from(u8::from(gradient.is_some())));
        }
    }
}

struct Average<'a, B: AutodiffBackend> {
    peer: &'a Peer<B>,
    gradients: GradientsParams,
    /// On how many devices each trained parameter has a gradient.
    counts: Vec<f32>,
    visited: usize,
    failed: Option<anyhow::Error>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Average<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if !param.is_require_grad() || self.failed.is_some() {
            return;
        }
        let count = self.counts[self.visited];
        self.visited += 1;
        if count == 0.0 {
            return;
        }
        let own = self.gradients.remove::<B::InnerBackend, D>(param.id);
        let own = own.unwrap_or_else(|| Tensor::zeros(param.shape(), &self.peer.device));
        match self.peer.reduce(own, ReduceOperation::Mean) {
            Ok(mean) => self
                .gradients
                .register::<B::InnerBackend, D>(param.id, mean),
            Err(error) => self.failed = Some(error),
        }
    }
}
