//! Devices and machines that do not work together.

use std::io;

/// Failure of training on several devices or machines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributedError {
    /// `--nodes` names a single machine.
    #[error("--nodes names one machine: leave it out")]
    OneNode,
    /// A machine has no such number.
    #[error("there is no node {rank} of {count}: they are numbered from 0")]
    NoNode {
        /// The number.
        rank: usize,
        /// Number of machines.
        count: usize,
    },
    /// A machine is named twice.
    #[error("--nodes names {address} twice: each machine has an address of its own")]
    SameAddress {
        /// `HOST:PORT` of the machine.
        address: String,
    },
    /// An address cannot be resolved.
    #[error("{address} cannot be resolved: write HOST:PORT: {source}")]
    Address {
        /// The text given.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A machine has no IPv4 address.
    #[error("{address} has no IPv4 address, at which nodes listen")]
    NoIpv4 {
        /// `HOST:PORT` of the machine.
        address: String,
    },
    /// The build supports a single device.
    #[error("{count} devices learn together in a build with `--features collective` only")]
    NotBuilt {
        /// Number of devices.
        count: usize,
    },
    /// Another device has failed, whose own error says why.
    #[error("another device stopped")]
    WorkerStopped,
    /// A device cannot join the others.
    #[error("device {rank} cannot join the others: {reason}")]
    Join {
        /// Number of the device on its machine.
        rank: usize,
        /// The reason.
        reason: String,
    },
    /// A device would go on from another step than the others.
    #[error(
        "device {rank} would go on from stage {stage} step {step}, and others from elsewhere: give all nodes the run's folder of node 0"
    )]
    OtherPosition {
        /// Number of the device among all.
        rank: usize,
        /// Stage that it would go on from.
        stage: usize,
        /// Step that it would go on from.
        step: u64,
    },
    /// A device has another configuration than the others.
    #[error(
        "device {rank} learns by other settings than others, or with another number of devices a machine: give all nodes the same \
         configuration and --devices"
    )]
    OtherSettings {
        /// Number of the device among all.
        rank: usize,
    },
    /// A device has other weights than the others.
    #[error(
        "device {rank} starts from other weights than others: give all nodes the same files to start from"
    )]
    OtherWeights {
        /// Number of the device among all.
        rank: usize,
    },
    /// Gradients cannot be exchanged between devices.
    #[error("the devices' gradients cannot be averaged: {reason}")]
    Average {
        /// The reason.
        reason: String,
    },
    /// The port of this machine cannot be listened at.
    #[error("cannot listen at port {port} for the other nodes: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
    /// Threads for the connections cannot be started.
    #[error("cannot talk to the other nodes: {source}")]
    Connections {
        /// The system's reason.
        source: io::Error,
    },
    /// The address of a machine is not that of a server.
    #[error("{reason}")]
    ServerAddress {
        /// The reason.
        reason: String,
    },
    /// A machine has stopped.
    #[error("node {rank} at {address} has stopped: its own error says why")]
    NodeStopped {
        /// Number of the machine.
        rank: usize,
        /// `HOST:PORT` of the machine.
        address: String,
    },
    /// A machine sends gradients of another length.
    #[error("node {rank} learns something else: give all nodes the same configuration")]
    OtherLength {
        /// Number of the machine.
        rank: usize,
    },
    /// A machine does not answer.
    #[error("node {rank} at {address} does not answer: {source}")]
    NoAnswer {
        /// Number of the machine.
        rank: usize,
        /// `HOST:PORT` of the machine.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
}
