//! What is kept for one run of a worker to listen on: a port or a Unix socket. Decides nothing; called by `spawn`.

use std::net::{Ipv4Addr, SocketAddr};

use super::port::Port;
use super::socket::WorkerSocket;
use crate::config::{Address, Host};

/// A port or a path that no other worker has; dropping it gives it back.
#[derive(Debug)]
pub(in crate::supervise) enum ReservedPlace {
    /// Of 127.0.0.1.
    Port(Port),
    /// In our directory.
    Socket(WorkerSocket),
    /// The address that all workers of the pool have.
    Shared(SocketAddr),
}

impl ReservedPlace {
    /// Where the worker has to listen.
    pub(in crate::supervise) fn address(&self) -> Address {
        match self {
            Self::Port(port) => Address::Tcp { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: port.number() },
            Self::Socket(socket) => Address::Unix(socket.path().to_owned()),
            Self::Shared(address) => Address::Tcp { host: Host::Ip(address.ip()), port: address.port() },
        }
    }
}
