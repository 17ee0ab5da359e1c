//! The address itself: opened once, before privileges are given up. Decides nothing but the options of the socket; called by `app`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::{Mode, Sharing};

/// An address that is taken for the workers of a pool.
#[derive(Debug, Clone)]
pub struct OpenedAddress {
    /// How connections come to them.
    pub mode: Mode,
    /// With the port that the kernel chose where the configuration said 0.
    pub address: SocketAddr,
    /// `None`: the workers open it themselves.
    pub(super) listener: Option<Arc<TcpListener>>,
}

impl OpenedAddress {
    /// Opens the address, or looks whether workers can.
    ///
    /// # Errors
    /// Those of binding and listening.
    pub fn open(sharing: Sharing) -> io::Result<Self> {
        let Sharing { mode, address } = sharing;
        if mode == Mode::ReusePort {
            // Tells a mistake before a worker dies of it; others who share the port by the same option are no mistake.
            let socket = socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SockAddr::from(address))?;
            return Ok(Self { mode, address, listener: None });
        }
        let socket = socket(address)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        // Blocking where workers accept from it, as programs expect of what they are passed (sd_listen_fds(3)).
        socket.set_nonblocking(mode == Mode::Handoff)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { mode, address, listener: Some(Arc::new(socket.into())) })
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4_096;
