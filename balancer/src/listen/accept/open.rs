//! Opens listeners, or takes those that were passed, once: they outlive every reload.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::passed::Passed;
use super::unix;
use crate::config::ListenAddress;
use crate::net::{ASK_PEER, SocketFile};

/// An address we listen on: one kernel queue per thread for TCP, one for all for Unix and for what was passed.
#[derive(Debug)]
pub struct Listener {
    /// The address, with the port the kernel chose where the configuration said 0.
    pub address: ListenAddress,
    /// That of a Unix listener; to be kept as long as it is listened on.
    pub file: Option<SocketFile>,
    /// One a thread, or a single one.
    pub(in crate::listen) queues: Vec<AcceptQueue>,
}

/// Connections that wait for us.
#[derive(Debug)]
pub(in crate::listen) struct AcceptQueue {
    socket: Kind,
    /// Whether others hold it too: who waits there when we end is served by whoever comes after us.
    pub(in crate::listen) outlives_us: bool,
    /// Whether its clients shake hands first.
    pub(super) encrypts: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// Opens `address`, one of `all` that are listened on, for `threads` threads, or takes it of what was `passed`.
///
/// # Errors
/// Those of the system calls. An address in use is refused even where the other side set SO_REUSEPORT too, so that a
/// second instance cannot quietly take half of the connections.
pub fn open(
    address: &ListenAddress,
    all: &[ListenAddress],
    threads: usize,
    passed: &mut Passed,
) -> io::Result<Listener> {
    match address {
        ListenAddress::Tcp(tcp) => open_tcp(*tcp, address.takes_ipv4(all), threads),
        ListenAddress::Unix(socket) => {
            let (listener, file) = unix::open(socket, BACKLOG)?;
            let queue = AcceptQueue { socket: Kind::Unix(listener), outlives_us: false, encrypts: false };
            Ok(Listener { address: address.clone(), file: Some(file), queues: vec![queue] })
        }
        ListenAddress::Passed(name) => take(passed.take(name)?),
        ListenAddress::Tls(place) => {
            let mut listener = open(place, all, threads, passed)?;
            listener.queues.iter_mut().for_each(|queue| queue.encrypts = true);
            Ok(Listener { address: ListenAddress::Tls(Box::new(listener.address)), ..listener })
        }
    }
}

/// One that is open already; as with Unix sockets, one thread accepts and the others are handed their share.
fn take((address, socket): (ListenAddress, Socket)) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    let socket = match &address {
        ListenAddress::Tcp(_) => {
            inherited_by_connections(&socket)?;
            Kind::Tcp(socket.into())
        }
        _ => Kind::Unix(socket.into()),
    };
    Ok(Listener { address, file: None, queues: vec![AcceptQueue { socket, outlives_us: true, encrypts: false }] })
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
        Ok(AcceptQueue { socket: Kind::Tcp(socket.into()), outlives_us: false, encrypts: false })
    });
    Ok(Listener { address: ListenAddress::Tcp(bound), file: None, queues: listening.collect::<io::Result<_>>()? })
}

fn socket(address: SocketAddr, takes_ipv4: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    inherited_by_connections(&socket)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` alone takes IPv4 clients too, as users of other servers expect, whatever the machine's default is.
        socket.set_only_v6(!takes_ipv4)?;
    }
    Ok(socket)
}

/// Options that accepted connections inherit, which saves system calls for each of them.
fn inherited_by_connections(socket: &Socket) -> io::Result<()> {
    // A response in several writes would wait for the client's delayed acknowledgement (40 ms) otherwise.
    socket.set_tcp_nodelay(true)?;
    // Finds out about peers that are gone without a word while their requests take long; by itself the kernel asks after two hours.
    socket.set_tcp_keepalive(&ASK_PEER)
}

impl AsRawFd for AcceptQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for AcceptQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener) => listener.as_fd(),
        }
    }
}

impl AcceptQueue {
    pub(in crate::listen) fn try_clone(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Kind::Tcp(listener) => Kind::Tcp(listener.try_clone()?),
            Kind::Unix(listener) => Kind::Unix(SockRef::from(listener).try_clone()?.into()),
        };
        Ok(Self { socket, ..*self })
    }
}

/// The kernel cuts it to `net.core.somaxconn`.
pub(in crate::listen) const BACKLOG: i32 = 4_096;
