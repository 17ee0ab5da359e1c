//! Opens listeners, once: they outlive every reload.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::unix::{self, SocketFile};
use crate::config::ListenAddress;
use crate::net::ASK_PEER;

/// An address we listen on: one kernel queue per thread for TCP, one for all for Unix.
#[derive(Debug)]
pub struct Listener {
    /// The address, with the port the kernel chose where the configuration said 0.
    pub address: ListenAddress,
    /// That of a Unix listener; to be kept as long as it is listened on.
    pub file: Option<SocketFile>,
    /// One a thread, or a single one.
    pub(super) queues: Vec<Queue>,
}

#[derive(Debug)]
pub(super) enum Queue {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// Opens `address`, one of `all` that are listened on, for `threads` threads.
///
/// # Errors
/// Those of the system calls. An address in use is refused even where the other side set SO_REUSEPORT too, so that a
/// second instance cannot quietly take half of the connections.
pub fn open(address: &ListenAddress, all: &[ListenAddress], threads: usize) -> io::Result<Listener> {
    match address {
        ListenAddress::Tcp(tcp) => open_tcp(*tcp, address.takes_ipv4(all), threads),
        ListenAddress::Unix(socket) => {
            let (listener, file) = unix::open(socket)?;
            Ok(Listener { address: address.clone(), file: Some(file), queues: vec![Queue::Unix(listener)] })
        }
    }
}

fn open_tcp(address: SocketAddr, takes_ipv4: bool, threads: usize) -> io::Result<Listener> {
    let mut bound = address;
    {
        let alone = socket(address, takes_ipv4)?;
        alone.bind(&SockAddr::from(address))?;
        if let Some(chosen) = alone.local_addr()?.as_socket() {
            bound = chosen;
        }
    }
    let queues = (0..threads.max(1)).map(|_| {
        let socket = socket(bound, takes_ipv4)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(bound))?;
        Ok(socket)
    });
    // All are bound before the first one listens: connections are spread over those that listen.
    let queues = queues.collect::<io::Result<Vec<Socket>>>()?;
    let listening = queues.into_iter().map(|socket| {
        socket.listen(BACKLOG)?;
        Ok(Queue::Tcp(socket.into()))
    });
    Ok(Listener { address: ListenAddress::Tcp(bound), file: None, queues: listening.collect::<io::Result<_>>()? })
}

/// Options that accepted connections inherit are set here, which saves system calls for each of them.
fn socket(address: SocketAddr, takes_ipv4: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // A response in several writes would wait for the client's delayed acknowledgement (40 ms) otherwise.
    socket.set_tcp_nodelay(true)?;
    // Finds out about peers that are gone without a word while their requests take long; by itself the kernel asks after two hours.
    socket.set_tcp_keepalive(&ASK_PEER)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` alone takes IPv4 clients too, as users of other servers expect, whatever the machine's default is.
        socket.set_only_v6(!takes_ipv4)?;
    }
    Ok(socket)
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

impl Queue {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => SockRef::from(listener).try_clone().map(|socket| Self::Unix(socket.into())),
        }
    }
}

/// The kernel cuts it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4_096;
