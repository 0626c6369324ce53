//! Addresses and rank of machines that train together.

use std::net::{SocketAddr, ToSocketAddrs};

use super::error::DistributedError;

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
    pub fn check(&self) -> Result<(), DistributedError> {
        let count = self.count();
        if count < 2 {
            return Err(DistributedError::OneNode);
        }
        let rank = self.rank;
        if rank >= count {
            return Err(DistributedError::NoNode { rank, count });
        }
        for (index, address) in self.addresses.iter().enumerate() {
            resolved(address)?;
            if self.addresses[..index].contains(address) {
                let address = address.clone();
                return Err(DistributedError::SameAddress { address });
            }
        }
        Ok(())
    }

    /// Number of machines.
    pub fn count(&self) -> usize {
        self.addresses.len()
    }

    /// Port at which this machine listens.
    #[cfg(any(test, feature = "collective"))]
    pub(super) fn port(&self) -> Result<u16, DistributedError> {
        Ok(resolved(&self.addresses[self.rank])?.port())
    }
}

/// IPv4 address of a name; burn's server listens on IPv4.
fn resolved(address: &str) -> Result<SocketAddr, DistributedError> {
    let found = address.to_socket_addrs();
    let mut found = found.map_err(|source| DistributedError::Address {
        address: address.into(),
        source,
    })?;
    found
        .find(SocketAddr::is_ipv4)
        .ok_or_else(|| DistributedError::NoIpv4 {
            address: address.into(),
        })
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
