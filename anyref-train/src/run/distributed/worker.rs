//! Several devices that learn together, a thread each, on one machine or on several: burn's collective averages their
//! gradients.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor, TensorPrimitive};
use burn_collective::{
    CollectiveConfig, CollectiveError, PeerId, ReduceOperation, all_reduce, finish_collective,
    register, reset_collective,
};

use super::super::checkpoint::Position;
use super::all_reduce::{Exchange, LIMIT, MESSAGE, SHORT};
use super::topology::Nodes;

/// What a device says when another one has failed; the other's own error is what matters.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another device stopped")]
pub(in crate::run) struct PeerStopped;

/// One of the devices that carry out a stage. When it is dropped before [`finish`](Self::finish), by an error or a
/// panic, all others are told, so that none waits for it.
pub(in crate::run) struct Peer<B: AutodiffBackend> {
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
    pub(in crate::run) fn join(
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

    /// Refuses to learn something else than the others: from another place or other weights, by other settings (`plan`
    /// stands for them), or with another number of devices a machine.
    ///
    /// # Errors
    /// When others differ, or one has stopped.
    pub(in crate::run) fn agree<M: Module<B>>(
        &self,
        position: &Position,
        plan: u64,
        module: &M,
    ) -> Result<()> {
        let mut own = vec![
            position.stage as f32,
            position.step as f32,
            self.local[1] as f32,
        ];
        // Whole numbers whose sum over many devices f32 holds exactly.
        own.extend((0..4).map(|part| (plan >> (16 * part) & 0xffff) as f32));
        let whole = own.len();
        own.push(balance(module, &self.device));
        let place = Tensor::<B::InnerBackend, 1>::from_floats(own.as_slice(), &self.device);
        let mean = self.mean(place)?.into_data().convert::<f32>();
        let apart: Vec<f32> = mean
            .iter::<f32>()
            .zip(&own)
            .map(|(mean, own)| (mean - own).abs() * self.count() as f32)
            .collect();
        let differs = |most: f32, parts: &[f32]| parts.iter().any(|&apart| apart > most);
        let refusal = if differs(0.5, &apart[..2]) {
            format!(
                "would go on from stage {} step {}, and others from elsewhere: give all nodes the run's folder of node 0",
                position.stage, position.step
            )
        } else if differs(0.5, &apart[2..whole]) {
            "learns by other settings than others, or with another number of devices a machine: give all nodes the same \
             configuration and --devices"
                .into()
        // Sums may be rounded in another order elsewhere.
        } else if differs(1e-5 * self.count() as f32, &apart[whole..]) {
            "starts from other weights than others: give all nodes the same files to start from"
                .into()
        } else {
            return Ok(());
        };
        // Others refuse by the same sum, which they have to have before this machine is gone.
        self.part(SHORT);
        Err(anyhow!("device {} {refusal}", self.rank()))
    }

    /// Stays until the other machines have what they wait for.
    fn part(&self, limit: Duration) {
        if let Some(exchange) = &self.exchange {
            let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
            exchange.part(limit);
        }
    }

    /// Whether it is the first of its machine.
    pub(in crate::run) fn is_first_here(&self) -> bool {
        self.local[0] == 0
    }

    /// The number of its machine.
    pub(in crate::run) fn node(&self) -> usize {
        self.node[0]
    }

    /// Its number among the devices of all machines.
    pub(in crate::run) fn rank(&self) -> usize {
        self.node[0] * self.local[1] + self.local[0]
    }

    /// How many devices there are on all machines.
    pub(in crate::run) fn count(&self) -> usize {
        self.node[1] * self.local[1]
    }

    /// The mean of all devices' gradients. A parameter that has a gradient on any of them has one on all afterwards:
    /// where it had none, that was 0.
    ///
    /// # Errors
    /// When another device has stopped.
    pub(in crate::run) fn average<M: Module<B>>(
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
        let counts = self.sum(flags)?.into_data().convert::<f32>();
        let counts = counts.iter::<f32>().collect::<Vec<_>>();
        let mut rows = Rows {
            peer: self,
            gradients,
            counts: counts.into_iter(),
            row: Vec::new(),
            length: 0,
            failed: None,
        };
        Module::<B>::visit(module, &mut rows);
        rows.close();
        match rows.failed {
            Some(error) => Err(error),
            None => Ok(rows.gradients),
        }
    }

    /// Leaves the others in peace.
    pub(in crate::run) fn finish(mut self) -> Result<()> {
        self.finished = true;
        self.part(LIMIT);
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

/// Gives a parameter its part of an averaged row, which begins at a place.
type Owner<B> = Box<dyn FnOnce(&mut GradientsParams, &Tensor<B, 1>, usize)>;

/// A part of a row, and whose it is.
type Part<B> = (Tensor<B, 1>, Owner<B>);

/// Averages gradients, many parameters in a row of a message's length or more: each operation costs a journey to the
/// others and back, and copies of all that is in it.
struct Rows<'a, B: AutodiffBackend> {
    peer: &'a Peer<B>,
    gradients: GradientsParams,
    /// On how many devices each trained parameter that is still to come has a gradient.
    counts: std::vec::IntoIter<f32>,
    row: Vec<Part<B::InnerBackend>>,
    length: usize,
    failed: Option<anyhow::Error>,
}

impl<B: AutodiffBackend> Rows<'_, B> {
    /// Averages what is in the row.
    fn close(&mut self) {
        let (parts, owners): (Vec<_>, Vec<_>) = self.row.drain(..).unzip();
        self.length = 0;
        if parts.is_empty() || self.failed.is_some() {
            return;
        }
        let lengths: Vec<usize> = parts.iter().map(|part| part.dims()[0]).collect();
        match self.peer.mean(Tensor::cat(parts, 0)) {
            Ok(mean) => {
                let mut taken = 0;
                for (owner, length) in owners.into_iter().zip(lengths) {
                    owner(&mut self.gradients, &mean, taken);
                    taken += length;
                }
            }
            Err(error) => self.failed = Some(error),
        }
    }
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Rows<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if !param.is_require_grad() || self.failed.is_some() {
            return;
        }
        if self.counts.next() == Some(0.0) {
            return;
        }
        let (id, shape) = (param.id, param.shape());
        let elements = shape.num_elements();
        let own = self.gradients.remove::<B::InnerBackend, D>(id);
        let own = own.unwrap_or_else(|| Tensor::zeros(shape.clone(), &self.peer.device));
        let owner: Owner<_> = Box::new(move |gradients, mean, from| {
            let part = mean.clone().narrow(0, from, elements).reshape(shape);
            gradients.register::<B::InnerBackend, D>(id, part);
        });
        self.row.push((own.reshape([elements]), owner));
        self.length += elements;
        if self.length >= MESSAGE {
            self.close();
        }
    }
}

/// The sum of all weights as a part of the sum of their sizes, which differs from model to model.
fn balance<B: AutodiffBackend, M: Module<B>>(module: &M, device: &B::Device) -> f32 {
    struct Sums<B: AutodiffBackend>([Tensor<B::InnerBackend, 1>; 2]);

    impl<B: AutodiffBackend> ModuleVisitor<B> for Sums<B> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            let values = param.val().inner().cast(DType::F32);
            let [sum, sizes] = &mut self.0;
            *sum = sum.clone() + values.clone().sum();
            *sizes = sizes.clone() + values.abs().sum();
        }
    }

    let mut sums = Sums::<B>([0, 1].map(|_| Tensor::zeros([1], device)));
    Module::<B>::visit(module, &mut sums);
    let [sum, sizes] = sums.0;
    let balance = (sum / sizes).into_data().convert::<f32>();
    balance.iter::<f32>().next().unwrap_or(f32::NAN)
}
