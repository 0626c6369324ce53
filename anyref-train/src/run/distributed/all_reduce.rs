//! Sums of tensors over several machines, by burn's communication.
//!
//! Machines offer tensors that others fetch. All but number 0 offer theirs, it adds them to its own in the order of
//! numbers, so that the sum is the same at every run, and offers the sum. The all-reduce that burn-collective 0.21 has for
//! several machines is not used: its barrier counts those who are there without ever starting over
//! (`SyncService::sync` clears a copy), so that its second operation waits forever.

use std::any::Any;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use burn_communication::data_service::{TensorDataServer, TensorDataService};
use burn_communication::websocket::{WebSocket, WsServer};
use burn_communication::{Address, ProtocolServer};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::topology::Nodes;

/// Values that are sent in one message.
pub(in crate::run) const MESSAGE: usize = 16 << 20;
/// How often those who wait for a tensor look again: burn 0.21 may miss the moment in which it is offered.
const LOOK: Duration = Duration::from_millis(10);
/// How often another machine is called that does not answer yet.
const CALL: Duration = Duration::from_millis(200);
/// After so long it is said who does not answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long nobody is waited for any more; the first machine validates and writes checkpoints meanwhile.
pub(in crate::run) const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Who refuses waits no longer than this for others to have heard of it.
pub(in crate::run) const SHORT: Duration = Duration::from_secs(5);

/// This machine's end of the connections to the others, open until the process ends.
pub(in crate::run) struct Exchange<B: Backend> {
    nodes: Nodes,
    addresses: Vec<Address>,
    service: Arc<TensorDataService<B, WebSocket>>,
    runtime: Runtime,
    /// The next tensor's number, the same on all machines.
    next: u64,
}

impl<B: Backend> Exchange<B> {
    /// The exchange of this process, opened the first time; returns once all machines answer.
    ///
    /// # Errors
    /// When the port is taken.
    pub(in crate::run) fn shared(nodes: &Nodes) -> Result<Arc<Mutex<Self>>> {
        static OPEN: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open
            .as_ref()
            .and_then(|open| open.downcast_ref::<Arc<Mutex<Self>>>());
        if let Some(exchange) = known {
            return Ok(exchange.clone());
        }
        let exchange = Arc::new(Mutex::new(Self::open(nodes)?));
        *open = Some(Box::new(exchange.clone()));
        Ok(exchange)
    }

    fn open(nodes: &Nodes) -> Result<Self> {
        let port = nodes.port()?;
        // The server itself would say it in a log alone.
        TcpListener::bind(("0.0.0.0", port))
            .with_context(|| format!("cannot listen at port {port} for the other nodes"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot talk to the other nodes")?;
        let service = Arc::new(TensorDataService::new(CancellationToken::new()));
        let server = WsServer::new(port).route_tensor_data_service(service.clone());
        runtime.spawn(server.serve(std::future::pending()));
        let offered = service.new_tensor_notify.clone();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                offered.notify_waiters();
            }
        });
        wait_for(nodes.rank, &format!("127.0.0.1:{port}"))?;
        for (rank, address) in nodes.addresses.iter().enumerate() {
            // Only number 0 and each of the others fetch from one another.
            if rank != nodes.rank && (nodes.rank == 0 || rank == 0) {
                wait_for(rank, address)?;
            }
        }
        // It tells of every tensor otherwise.
        log::set_max_level(log::LevelFilter::Warn);
        let addresses = nodes.addresses.iter().map(|address| {
            let address = format!("ws://{address}").parse();
            address.map_err(|error: String| anyhow!("{error}"))
        });
        Ok(Self {
            addresses: addresses.collect::<Result<_>>()?,
            nodes: nodes.clone(),
            service,
            runtime,
            next: 0,
        })
    }

    /// The sum of what all machines give.
    ///
    /// # Errors
    /// When one of them has stopped or gives another shape.
    pub(in crate::run) fn sum(&mut self, tensor: Tensor<B, 1>) -> Result<Tensor<B, 1>> {
        let [length] = tensor.dims();
        let device = tensor.device();
        let mut parts = Vec::new();
        for start in (0..length).step_by(MESSAGE) {
            let part = tensor.clone().narrow(0, start, MESSAGE.min(length - start));
            parts.push(match self.nodes.rank {
                0 => self.gather(part, &device)?,
                _ => self.give(part, &device)?,
            });
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(parts, 0),
        })
    }

    /// Stays until the others have what they wait for, but no longer than `limit` for each, and ends the connections until the next
    /// sum.
    pub(in crate::run) fn part(&mut self, limit: Duration) {
        let (theirs, thanks) = (self.number(), self.number());
        let others = self.nodes.count() - 1;
        let word = || TensorData::from([0.0f32]);
        // One that has gone already has everything.
        match self.nodes.rank {
            0 => {
                for rank in 1..=others {
                    let _ = self.fetch(rank, theirs, limit);
                }
                self.offer(word(), others as u32, thanks);
                let start = Instant::now();
                let held = || {
                    let offered = self.service.exposed_tensors.blocking_lock();
                    offered.contains_key(&thanks.into())
                };
                while held() && start.elapsed() < CALL * 25 {
                    std::thread::sleep(LOOK);
                }
            }
            _ => {
                self.offer(word(), 1, theirs);
                let _ = self.fetch(0, thanks, limit);
            }
        }
        // A connection that does not close is closed by the end of the process.
        let close = async { tokio::time::timeout(CALL, self.service.close()).await };
        let _ = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(close)));
    }

    fn gather(&mut self, own: Tensor<B, 1>, device: &B::Device) -> Result<Tensor<B, 1>> {
        let (theirs, total) = (self.number(), self.number());
        let mut sum = own;
        for rank in 1..self.nodes.count() {
            let data = self.fetch(rank, theirs, LIMIT)?;
            let other = of_length(data, sum.dims(), rank)?;
            sum = sum + Tensor::from_data(other, device);
        }
        let others = self.nodes.count() - 1;
        self.offer(sum.to_data(), others as u32, total);
        Ok(sum)
    }

    fn give(&mut self, own: Tensor<B, 1>, device: &B::Device) -> Result<Tensor<B, 1>> {
        let (theirs, total) = (self.number(), self.number());
        let length = own.dims();
        self.offer(own.into_data(), 1, theirs);
        let sum = of_length(self.fetch(0, total, LIMIT)?, length, 0)?;
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

    fn fetch(&self, rank: usize, number: u64, limit: Duration) -> Result<TensorData> {
        let (name, address) = (&self.nodes.addresses[rank], self.addresses[rank].clone());
        let fetched = async {
            let mut fetched = pin!(self.service.download_tensor(address, number.into()));
            let start = Instant::now();
            while start.elapsed() < limit {
                match tokio::time::timeout(PATIENCE.min(limit), &mut fetched).await {
                    Ok(fetched) => return fetched,
                    Err(_) => eprintln!("waiting for node {rank} at {name}"),
                }
            }
            None
        };
        // Some of what can happen to a connection is a panic there.
        let fetched = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(fetched)));
        fetched
            .ok()
            .flatten()
            .with_context(|| format!("node {rank} at {name} has stopped: its own error says why"))
    }
}

fn of_length(data: TensorData, length: [usize; 1], rank: usize) -> Result<TensorData> {
    match data.shape.as_slice() == length {
        true => Ok(data),
        false => Err(anyhow!(
            "node {rank} learns something else: give all nodes the same configuration"
        )),
    }
}

/// Calls a machine until it answers.
fn wait_for(rank: usize, address: &str) -> Result<()> {
    let start = Instant::now();
    let mut told = false;
    while let Err(error) = TcpStream::connect(address) {
        if !told && start.elapsed() > PATIENCE {
            eprintln!("waiting for node {rank} at {address}");
            told = true;
        }
        if start.elapsed() > LIMIT {
            return Err(error).with_context(|| format!("node {rank} at {address} does not answer"));
        }
        std::thread::sleep(CALL);
    }
    Ok(())
}
