//! All-reduce: sums of tensors over several machines, by burn's communication.
//!
//! Machines offer tensors that others fetch. Every machine but number 0 offers its tensor; number 0
//! adds them in the order of ranks, so that the sum is reproducible, and offers the sum. The
//! all-reduce of burn-collective 0.21 for several machines is not used: its barrier counts the
//! machines without ever being reset (`SyncService::sync` clears a copy), so its second operation
//! waits forever.
//!
//! burn-communication logs every tensor at the level `info`: programs filter its target.

use std::any::Any;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use burn_communication::data_service::{TensorDataServer, TensorDataService};
use burn_communication::websocket::{WebSocket, WsServer};
use burn_communication::{Address, ProtocolServer};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::error::DistributedError;
use super::topology::Topology;

/// Largest number of values in a message.
pub(super) const MESSAGE_LENGTH: usize = 16 << 20;
/// Interval of polling for a tensor: burn 0.21 may miss the moment in which it is offered.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Interval of connection attempts to a machine that does not answer yet.
const CALL_INTERVAL: Duration = Duration::from_millis(200);
/// Waiting time after which a machine that does not answer is logged.
const WARN_AFTER: Duration = Duration::from_secs(60);
/// Longest wait for a machine; the first one validates and writes checkpoints meanwhile.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// Longest wait of a refusing machine for the others to be informed.
pub(super) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of this machine to the others, open until the process ends.
pub(super) struct AllReduce<B: Backend> {
    topology: Topology,
    addresses: Vec<Address>,
    service: Arc<TensorDataService<B, WebSocket>>,
    runtime: Runtime,
    /// Number of the next tensor, equal on all machines.
    next: u64,
}

impl<B: Backend> AllReduce<B> {
    /// Connections of this process, opened at the first call; returns once all machines answer.
    ///
    /// # Errors
    /// When the port is taken.
    pub(super) fn shared(topology: &Topology) -> Result<Arc<Mutex<Self>>, DistributedError> {
        static OPEN: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open
            .as_ref()
            .and_then(|open| open.downcast_ref::<Arc<Mutex<Self>>>());
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let opened = Arc::new(Mutex::new(Self::open(topology)?));
        *open = Some(Box::new(opened.clone()));
        Ok(opened)
    }

    fn open(topology: &Topology) -> Result<Self, DistributedError> {
        let port = topology.port()?;
        // The server itself would only log the error.
        TcpListener::bind(("0.0.0.0", port))
            .map_err(|source| DistributedError::Listen { port, source })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| DistributedError::Connections { source })?;
        let service = Arc::new(TensorDataService::new(CancellationToken::new()));
        let server = WsServer::new(port).route_tensor_data_service(service.clone());
        runtime.spawn(server.serve(std::future::pending()));
        let offered = service.new_tensor_notify.clone();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                offered.notify_waiters();
            }
        });
        wait_for(topology.rank, &format!("127.0.0.1:{port}"))?;
        for (rank, address) in topology.addresses.iter().enumerate() {
            // Only number 0 and the others exchange tensors, not the others among themselves.
            if rank != topology.rank && (topology.rank == 0 || rank == 0) {
                wait_for(rank, address)?;
            }
        }
        let addresses = topology.addresses.iter().map(|address| {
            let address = format!("ws://{address}").parse();
            address.map_err(|reason: String| DistributedError::ServerAddress { reason })
        });
        Ok(Self {
            addresses: addresses.collect::<Result<_, DistributedError>>()?,
            topology: topology.clone(),
            service,
            runtime,
            next: 0,
        })
    }

    /// Sum over all machines.
    ///
    /// # Errors
    /// When a machine has stopped or gives another shape.
    pub(super) fn sum(&mut self, tensor: Tensor<B, 1>) -> Result<Tensor<B, 1>, DistributedError> {
        let [length] = tensor.dims();
        let device = tensor.device();
        let mut sums = Vec::new();
        for start in (0..length).step_by(MESSAGE_LENGTH) {
            let message = tensor
                .clone()
                .narrow(0, start, MESSAGE_LENGTH.min(length - start));
            sums.push(match self.topology.rank {
                0 => self.reduce(message, &device)?,
                _ => self.send(message, &device)?,
            });
        }
        Ok(match sums.len() {
            1 => sums.remove(0),
            _ => Tensor::cat(sums, 0),
        })
    }

    /// Waits until the others have all tensors that they wait for, at most `limit` for each, and
    /// closes the connections until the next sum.
    pub(super) fn leave(&mut self, limit: Duration) {
        let (theirs, received) = (self.number(), self.number());
        let others = self.topology.count() - 1;
        let token = || TensorData::from([0.0f32]);
        // A machine that has left already has everything.
        match self.topology.rank {
            0 => {
                for rank in 1..=others {
                    let _ = self.fetch(rank, theirs, limit);
                }
                self.offer(token(), others as u32, received);
                let start = Instant::now();
                let held = || {
                    let offered = self.service.exposed_tensors.blocking_lock();
                    offered.contains_key(&received.into())
                };
                while held() && start.elapsed() < CALL_INTERVAL * 25 {
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
            _ => {
                self.offer(token(), 1, theirs);
                let _ = self.fetch(0, received, limit);
            }
        }
        // A connection that does not close is closed by the end of the process.
        let close = async { tokio::time::timeout(CALL_INTERVAL, self.service.close()).await };
        let _ = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(close)));
    }

    fn reduce(
        &mut self,
        own: Tensor<B, 1>,
        device: &B::Device,
    ) -> Result<Tensor<B, 1>, DistributedError> {
        let (theirs, total) = (self.number(), self.number());
        let mut sum = own;
        for rank in 1..self.topology.count() {
            let data = self.fetch(rank, theirs, TIMEOUT)?;
            let other = of_length(data, sum.dims(), rank)?;
            sum = sum + Tensor::from_data(other, device);
        }
        let others = self.topology.count() - 1;
        self.offer(sum.to_data(), others as u32, total);
        Ok(sum)
    }

    fn send(
        &mut self,
        own: Tensor<B, 1>,
        device: &B::Device,
    ) -> Result<Tensor<B, 1>, DistributedError> {
        let (theirs, total) = (self.number(), self.number());
        let length = own.dims();
        self.offer(own.into_data(), 1, theirs);
        let sum = of_length(self.fetch(0, total, TIMEOUT)?, length, 0)?;
        Ok(Tensor::from_data(sum, device))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn offer(&self, data: TensorData, times: u32, number: u64) {
        self.runtime
            .block_on(self.service.expose_data(data, times, number.into()));
    }

    fn fetch(
        &self,
        rank: usize,
        number: u64,
        limit: Duration,
    ) -> Result<TensorData, DistributedError> {
        let (name, address) = (&self.topology.addresses[rank], self.addresses[rank].clone());
        let fetched = async {
            let mut fetched = pin!(self.service.download_tensor(address, number.into()));
            let start = Instant::now();
            while start.elapsed() < limit {
                match tokio::time::timeout(WARN_AFTER.min(limit), &mut fetched).await {
                    Ok(fetched) => return fetched,
                    Err(_) => log::warn!("waiting for node {rank} at {name}"),
                }
            }
            None
        };
        // burn's client panics on some connection errors.
        let fetched = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(fetched)));
        fetched
            .ok()
            .flatten()
            .ok_or_else(|| DistributedError::NodeStopped {
                rank,
                address: name.clone(),
            })
    }
}

fn of_length(
    data: TensorData,
    length: [usize; 1],
    rank: usize,
) -> Result<TensorData, DistributedError> {
    match data.shape.as_slice() == length {
        true => Ok(data),
        false => Err(DistributedError::OtherLength { rank }),
    }
}

/// Waits until a machine accepts connections.
fn wait_for(rank: usize, address: &str) -> Result<(), DistributedError> {
    let start = Instant::now();
    let mut told = false;
    while let Err(error) = TcpStream::connect(address) {
        if !told && start.elapsed() > WARN_AFTER {
            log::warn!("waiting for node {rank} at {address}");
            told = true;
        }
        if start.elapsed() > TIMEOUT {
            return Err(DistributedError::NoAnswer {
                rank,
                address: address.into(),
                source: error,
            });
        }
        std::thread::sleep(CALL_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    /// Two machines in one process. The level of the log is the program's.
    #[test]
    fn both_machines_have_the_sum_and_the_log_keeps_its_level() {
        log::set_max_level(log::LevelFilter::Info);
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let addresses: Vec<String> = listeners.iter().map(address).collect();
        drop(listeners);
        let sum = |rank: usize| {
            let topology = Topology {
                addresses: addresses.clone(),
                rank,
            };
            let mut machines = AllReduce::<Flex>::open(&topology).unwrap();
            let own = Tensor::from_floats([1.0, rank as f32], &Default::default());
            let sum = machines.sum(own).unwrap();
            machines.leave(TIMEOUT);
            sum.into_data().to_vec::<f32>().unwrap()
        };
        let sum = &sum;
        let sums = std::thread::scope(|scope| {
            let threads = [0, 1].map(|rank| scope.spawn(move || sum(rank)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(sums, [[2.0, 1.0], [2.0, 1.0]]);
        assert_eq!(log::max_level(), log::LevelFilter::Info);
    }
}
