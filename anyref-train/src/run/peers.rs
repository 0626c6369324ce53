//! Several devices that learn together, a thread each, on one machine or on several: burn's collective averages their
//! gradients.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, bail};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_collective::{
    CollectiveConfig, CollectiveError, PeerId, ReduceOperation, all_reduce, finish_collective,
    register, reset_collective,
};

use super::checkpoint::Position;
use super::exchange::Exchange;
use super::nodes::Nodes;

/// What a device says when another one has failed; the other's own error is what matters.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another device stopped")]
pub(super) struct PeerStopped;

/// One of the devices that carry out a stage. When it is dropped before [`finish`](Self::finish), by an error or a
/// panic, all others are told, so that none waits for it.
pub(super) struct Peer<B: AutodiffBackend> {
    /// Its number among the devices of this machine, and how many these are.
    local: [usize; 2],
    /// The number of this machine, and how many there are.
    node: [usize; 2],
    /// The other machines, for the first device of this one.
    exchange: Option<Arc<Mutex<Exchange<B::InnerBackend>>>>,
    device: B::Device,
    finished: bool,
}

impl<B: AutodiffBackend> Peer<B> {
    /// Joins `count` devices of this machine as number `rank` of them, and those of all `nodes` where there are several;
    /// returns once all of them have. There may be one such group at a time in a process.
    pub(super) fn join(
        rank: usize,
        count: usize,
        nodes: Option<&Nodes>,
        device: &B::Device,
    ) -> Result<Self> {
        let config = CollectiveConfig::default().with_num_devices(count);
        register::<B::InnerBackend>(PeerId::from(rank), device.clone(), config)
            .map_err(|error| anyhow!("device {rank} cannot join the others: {error:?}"))?;
        let mut peer = Self {
            local: [rank, count],
            node: [0, 1],
            exchange: None,
            device: device.clone(),
            finished: false,
        };
        if let Some(nodes) = nodes {
            peer.node = [nodes.rank, nodes.count()];
            if rank == 0 {
                peer.exchange = Some(Exchange::shared(nodes)?);
            }
        }
        Ok(peer)
    }

    /// Refuses to go on from another place than the others.
    ///
    /// # Errors
    /// When the others are elsewhere, or one has stopped.
    pub(super) fn agree(&self, position: &Position) -> Result<()> {
        let own = [position.stage as f32, position.step as f32];
        let place = Tensor::<B::InnerBackend, 1>::from_floats(own, &self.device);
        let mean = self.mean(place)?.into_data();
        let mean = mean.convert::<f32>();
        let apart = mean.iter::<f32>().zip(own);
        let apart = apart.map(|(mean, own)| (mean - own).abs());
        // A step is a whole number, of which the mean of some is not all theirs by less than one of them.
        match apart.fold(0.0, f32::max) * (self.count() as f32) < 0.5 {
            true => Ok(()),
            false => bail!(
                "device {} would go on from stage {} step {}, and others from elsewhere: give all nodes the run's \
                 folder of node 0",
                self.rank(),
                position.stage,
                position.step
            ),
        }
    }

    /// Its number among the devices of all machines.
    pub(super) fn rank(&self) -> usize {
        self.node[0] * self.local[1] + self.local[0]
    }

    /// How many devices there are on all machines.
    pub(super) fn count(&self) -> usize {
        self.node[1] * self.local[1]
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
        let counts = self.sum(flags)?;
        let mut flat = Flat {
            gradients,
            counts: counts.into_data().convert::<f32>().iter::<f32>().collect(),
            visited: 0,
            parts: Vec::new(),
            device: &self.device,
        };
        Module::<B>::visit(module, &mut flat);
        if flat.parts.is_empty() {
            return Ok(flat.gradients);
        }
        // One operation: each costs a journey to all the others and back.
        let mean = self.mean(Tensor::cat(flat.parts, 0))?;
        let mut unflat = Unflat {
            gradients: flat.gradients,
            counts: flat.counts,
            visited: 0,
            mean,
            taken: 0,
        };
        Module::<B>::visit(module, &mut unflat);
        Ok(unflat.gradients)
    }

    /// Leaves the others in peace.
    pub(super) fn finish(mut self) -> Result<()> {
        self.finished = true;
        if let Some(exchange) = &self.exchange {
            let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
            exchange.part();
        }
        finish_collective::<B::InnerBackend>(PeerId::from(self.local[0])).map_err(failure)
    }

    /// The mean over the devices of all machines.
    fn mean(&self, row: Tensor<B::InnerBackend, 1>) -> Result<Tensor<B::InnerBackend, 1>> {
        Ok(self.sum(row)? / self.count() as f32)
    }

    /// The sum over the devices of all machines.
    fn sum(&self, row: Tensor<B::InnerBackend, 1>) -> Result<Tensor<B::InnerBackend, 1>> {
        let sum = self.here(row)?;
        if self.node[1] == 1 {
            return Ok(sum);
        }
        let total = match &self.exchange {
            Some(exchange) => {
                let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
                exchange.sum(sum)?
            }
            None => sum.zeros_like(),
        };
        // The other devices of this machine have the total from the first.
        self.here(total)
    }

    /// The sum over the devices of this machine.
    fn here(&self, row: Tensor<B::InnerBackend, 1>) -> Result<Tensor<B::InnerBackend, 1>> {
        if self.local[1] == 1 {
            return Ok(row);
        }
        let row = row.into_primitive().tensor();
        let id = PeerId::from(self.local[0]);
        let sum = all_reduce::<B::InnerBackend>(id, row, ReduceOperation::Sum).map_err(failure)?;
        Ok(Tensor::from_primitive(TensorPrimitive::Float(sum)))
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

/// Takes all gradients that a device has, as one row.
struct Flat<'a, B: AutodiffBackend> {
    gradients: GradientsParams,
    /// On how many devices each trained parameter has a gradient.
    counts: Vec<f32>,
    visited: usize,
    parts: Vec<Tensor<B::InnerBackend, 1>>,
    device: &'a B::Device,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Flat<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if !param.is_require_grad() {
            return;
        }
        self.visited += 1;
        if self.counts[self.visited - 1] == 0.0 {
            return;
        }
        let own = self.gradients.remove::<B::InnerBackend, D>(param.id);
        let own = own.unwrap_or_else(|| Tensor::zeros(param.shape(), self.device));
        let elements = own.shape().num_elements();
        self.parts.push(own.reshape([elements]));
    }
}

/// Gives every parameter its part of the row.
struct Unflat<B: AutodiffBackend> {
    gradients: GradientsParams,
    counts: Vec<f32>,
    visited: usize,
    mean: Tensor<B::InnerBackend, 1>,
    taken: usize,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Unflat<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if !param.is_require_grad() {
            return;
        }
        self.visited += 1;
        if self.counts[self.visited - 1] == 0.0 {
            return;
        }
        let shape = param.shape();
        let elements = shape.num_elements();
        let mean = self.mean.clone().narrow(0, self.taken, elements);
        self.taken += elements;
        self.gradients
            .register::<B::InnerBackend, D>(param.id, mean.reshape(shape));
    }
}
