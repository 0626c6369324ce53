//! Addresses and rank of machines that train together.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, ensure};

/// Position of this machine among several. Each runs the same command with its own rank; number 0
/// logs, validates and writes the checkpoints, from which all resume after a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Addresses `HOST:PORT` by which the machines reach one another; each listens at its port.
    pub addresses: Vec<String>,
    /// Rank of this machine, from 0.
    pub rank: usize,
}

impl Topology {
    /// Checks that the addresses describe several machines.
    ///
    /// # Errors
    /// When there are fewer than two, the rank is out of range, or an address is invalid.
    pub fn check(&self) -> Result<()> {
        let count = self.count();
        ensure!(count >= 2, "--nodes names one machine: leave it out");
        ensure!(
            self.rank < count,
            "there is no node {} of {count}: they are numbered from 0",
            self.rank
        );
        for (index, address) in self.addresses.iter().enumerate() {
            resolved(address)?;
            ensure!(
                !self.addresses[..index].contains(address),
                "--nodes names {address} twice: each machine has an address of its own"
            );
        }
        Ok(())
    }

    /// Number of machines.
    pub fn count(&self) -> usize {
        self.addresses.len()
    }

    /// Port at which this machine listens.
    #[cfg(any(test, feature = "collective"))]
    pub(super) fn port(&self) -> Result<u16> {
        Ok(resolved(&self.addresses[self.rank])?.port())
    }
}

/// IPv4 address of a name; burn's server listens on IPv4.
fn resolved(address: &str) -> Result<SocketAddr> {
    let mut found = address
        .to_socket_addrs()
        .with_context(|| format!("{address} cannot be resolved: write HOST:PORT"))?;
    found
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("{address} has no IPv4 address, at which nodes listen"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_named() {
        let nodes = |rank, addresses: &[&str]| {
            let addresses = addresses.iter().copied().map(String::from).collect();
            Topology { addresses, rank }
        };
        let good = nodes(1, &["127.0.0.1:4000", "127.0.0.1:4001"]);
        good.check().unwrap();
        assert_eq!(good.port().unwrap(), 4001);
        let refused = |nodes: Topology, part: &str| {
            let error = format!("{:#}", nodes.check().unwrap_err());
            assert!(error.contains(part), "{error}");
        };
        refused(nodes(0, &["127.0.0.1:1"]), "leave it out");
        refused(nodes(2, &["127.0.0.1:1", "127.0.0.1:2"]), "no node 2 of 2");
        refused(nodes(0, &["127.0.0.1:1", "127.0.0.1:1"]), "twice");
        refused(nodes(0, &["127.0.0.1:1", "127.0.0.1"]), "HOST:PORT");
        refused(nodes(0, &["127.0.0.1:1", "127.0.0.1:x"]), "HOST:PORT");
        refused(nodes(0, &["[::1]:1", "127.0.0.1:2"]), "IPv4");
    }
}
