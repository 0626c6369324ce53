//! Worker: one of several devices that train together, one thread each, on one machine or on
//! several. burn's collective averages their gradients.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorPrimitive};
use burn_collective::{
    CollectiveConfig, CollectiveError, PeerId, ReduceOperation, all_reduce, finish_collective,
    register, reset_collective,
};

use super::super::checkpoint::Position;
use super::all_reduce::{AllReduce, MESSAGE_LENGTH, REFUSAL_TIMEOUT, TIMEOUT};
use super::error::DistributedError;
use super::topology::Topology;

/// Device of a stage. When dropped before [`finish`](Self::finish), by an error or a panic, all
/// other devices are informed, so that none waits for it.
pub(in crate::run) struct Worker<B: AutodiffBackend> {
    /// Rank among the devices of this machine, and their number.
    local: [usize; 2],
    /// Rank of this machine, and the number of machines.
    node: [usize; 2],
    /// Connections to the other machines, for the first device of this one.
    machines: Option<Arc<Mutex<AllReduce<B::InnerBackend>>>>,
    device: B::Device,
    finished: bool,
}

impl<B: AutodiffBackend> Worker<B> {
    /// Joins the `count` devices of this machine as number `rank`, and those of all machines of
    /// `topology`; returns once all have joined. A process can have one such group at a time.
    pub(in crate::run) fn join(
        rank: usize,
        count: usize,
        topology: Option<&Topology>,
        device: &B::Device,
    ) -> Result<Self, DistributedError> {
        let config = CollectiveConfig::default().with_num_devices(count);
        register::<B::InnerBackend>(PeerId::from(rank), device.clone(), config).map_err(
            |error| DistributedError::Join {
                rank,
                reason: format!("{error:?}"),
            },
        )?;
        let mut worker = Self {
            local: [rank, count],
            node: [0, 1],
            machines: None,
            device: device.clone(),
            finished: false,
        };
        if let Some(topology) = topology {
            worker.node = [topology.rank, topology.count()];
            if rank == 0 {
                worker.machines = Some(AllReduce::shared(topology)?);
            }
        }
        Ok(worker)
    }

    /// Refuses to train with devices that differ: in position or weights, in other `settings` (as a
    /// hash), or in the number of devices a machine.
    ///
    /// # Errors
    /// When devices differ, or one has stopped.
    pub(in crate::run) fn check_same<M: Module<B>>(
        &self,
        position: &Position,
        settings: u64,
        module: &M,
    ) -> Result<(), DistributedError> {
        let mut own = vec![
            position.stage as f32,
            position.step as f32,
            self.local[1] as f32,
        ];
        // Integers whose sum over many devices is exact in f32.
        own.extend((0..4).map(|quarter| (settings >> (16 * quarter) & 0xffff) as f32));
        let numbers = own.len();
        own.push(balance(module, &self.device));
        let place = Tensor::<B::InnerBackend, 1>::from_floats(own.as_slice(), &self.device);
        let mean = self.mean(place)?.into_data().convert::<f32>();
        let apart: Vec<f32> = mean
            .iter::<f32>()
            .zip(&own)
            .map(|(mean, own)| (mean - own).abs() * self.count() as f32)
            .collect();
        let differs = |most: f32, apart: &[f32]| apart.iter().any(|&apart| apart > most);
        let rank = self.rank();
        let refusal = if differs(0.5, &apart[..2]) {
            let (stage, step) = (position.stage, position.step);
            DistributedError::OtherPosition { rank, stage, step }
        } else if differs(0.5, &apart[2..numbers]) {
            DistributedError::OtherSettings { rank }
        // Sums may be rounded in another order elsewhere.
        } else if differs(1e-5 * self.count() as f32, &apart[numbers..]) {
            DistributedError::OtherWeights { rank }
        } else {
            return Ok(());
        };
        // The others refuse by the same sum, which they must receive before this machine stops.
        self.leave(REFUSAL_TIMEOUT);
        Err(refusal)
    }

    /// Waits until the other machines have the tensors that they wait for.
    fn leave(&self, limit: Duration) {
        if let Some(machines) = &self.machines {
            let mut machines = machines.lock().unwrap_or_else(PoisonError::into_inner);
            machines.leave(limit);
        }
    }

    /// Returns whether this is the first device of its machine.
    pub(in crate::run) fn is_first_here(&self) -> bool {
        self.local[0] == 0
    }

    /// Rank of its machine.
    pub(in crate::run) fn node(&self) -> usize {
        self.node[0]
    }

    /// Rank among the devices of all machines.
    pub(in crate::run) fn rank(&self) -> usize {
        self.node[0] * self.local[1] + self.local[0]
    }

    /// Number of devices on all machines.
    pub(in crate::run) fn count(&self) -> usize {
        self.node[1] * self.local[1]
    }

    /// Mean of all devices' gradients. A parameter with a gradient on any device has one on all
    /// devices afterwards, a missing gradient counting as 0.
    ///
    /// # Errors
    /// When another device has stopped.
    pub(in crate::run) fn average<M: Module<B>>(
        &self,
        module: &M,
        gradients: GradientsParams,
    ) -> Result<GradientsParams, DistributedError> {
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
            worker: self,
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

    /// Leaves the group at the end of the stage.
    pub(in crate::run) fn finish(mut self) -> Result<(), DistributedError> {
        self.finished = true;
        self.leave(TIMEOUT);
        finish_collective::<B::InnerBackend>(PeerId::from(self.local[0])).map_err(failure)
    }

    /// Mean over the devices of all machines.
    fn mean(
        &self,
        row: Tensor<B::InnerBackend, 1>,
    ) -> Result<Tensor<B::InnerBackend, 1>, DistributedError> {
        Ok(self.sum(row)? / self.count() as f32)
    }

    /// Sum over the devices of all machines.
    fn sum(
        &self,
        row: Tensor<B::InnerBackend, 1>,
    ) -> Result<Tensor<B::InnerBackend, 1>, DistributedError> {
        let sum = self.here(row)?;
        if self.node[1] == 1 {
            return Ok(sum);
        }
        let total = match &self.machines {
            Some(machines) => {
                let mut machines = machines.lock().unwrap_or_else(PoisonError::into_inner);
                machines.sum(sum)?
            }
            None => sum.zeros_like(),
        };
        // The first device hands the total to the other devices of this machine.
        self.here(total)
    }

    /// Sum over the devices of this machine.
    fn here(
        &self,
        row: Tensor<B::InnerBackend, 1>,
    ) -> Result<Tensor<B::InnerBackend, 1>, DistributedError> {
        if self.local[1] == 1 {
            return Ok(row);
        }
        let row = row.into_primitive().tensor();
        let id = PeerId::from(self.local[0]);
        let sum = all_reduce::<B::InnerBackend>(id, row, ReduceOperation::Sum).map_err(failure)?;
        Ok(Tensor::from_primitive(TensorPrimitive::Float(sum)))
    }
}

impl<B: AutodiffBackend> Drop for Worker<B> {
    fn drop(&mut self) {
        if !self.finished {
            reset_collective::<B::InnerBackend>();
        }
    }
}

/// Error of an operation: after a reset the other devices are unknown, or their operation is gone.
fn failure(error: CollectiveError) -> DistributedError {
    use CollectiveError::{LocalServerMissing, MultipleUnregister, RegisterNotFirstOperation};
    match error {
        LocalServerMissing | RegisterNotFirstOperation | MultipleUnregister => {
            DistributedError::WorkerStopped
        }
        other => DistributedError::Average {
            reason: format!("{other:?}"),
        },
    }
}

/// Flags for the trained parameters, in the order of the module: 1 if they have a gradient.
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

/// Registers the gradient of a parameter, taken from an averaged row at an offset.
type Owner<B> = Box<dyn FnOnce(&mut GradientsParams, &Tensor<B, 1>, usize)>;

/// Flat gradient in a row, and its parameter.
struct Flat<B: Backend> {
    gradient: Tensor<B, 1>,
    owner: Owner<B>,
}

/// Rows of gradients to be averaged, each with many parameters, up to a message's length or more:
/// every operation costs a round trip to the other devices, and a copy of the row.
struct Rows<'a, B: AutodiffBackend> {
    worker: &'a Worker<B>,
    gradients: GradientsParams,
    /// Number of devices on which each remaining trained parameter has a gradient.
    counts: std::vec::IntoIter<f32>,
    row: Vec<Flat<B::InnerBackend>>,
    length: usize,
    failed: Option<DistributedError>,
}

impl<B: AutodiffBackend> Rows<'_, B> {
    /// Averages the gradients in the row.
    fn close(&mut self) {
        let (gradients, owners): (Vec<_>, Vec<_>) = self
            .row
            .drain(..)
            .map(|flat| (flat.gradient, flat.owner))
            .unzip();
        self.length = 0;
        if gradients.is_empty() || self.failed.is_some() {
            return;
        }
        let lengths: Vec<usize> = gradients.iter().map(|flat| flat.dims()[0]).collect();
        match self.worker.mean(Tensor::cat(gradients, 0)) {
            Ok(mean) => {
                let mut offset = 0;
                for (owner, length) in owners.into_iter().zip(lengths) {
                    owner(&mut self.gradients, &mean, offset);
                    offset += length;
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
        let own = own.unwrap_or_else(|| Tensor::zeros(shape.clone(), &self.worker.device));
        let owner: Owner<_> = Box::new(move |gradients, mean, offset| {
            let own = mean.clone().narrow(0, offset, elements).reshape(shape);
            gradients.register::<B::InnerBackend, D>(id, own);
        });
        self.row.push(Flat {
            gradient: own.reshape([elements]),
            owner,
        });
        self.length += elements;
        if self.length >= MESSAGE_LENGTH {
            self.close();
        }
    }
}

/// Sum of all weights as a share of the sum of their magnitudes, a fingerprint of the model.
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
