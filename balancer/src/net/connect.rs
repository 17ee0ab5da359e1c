//! Connections we open.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;

use socket2::{Domain, SockAddr, Type};

use super::{Encryption, Family, Socket};
use crate::config::{Address, Host};

/// A connection to the first of `addresses` that accepts one, encrypted as is said. A name is none: who has one knows its addresses.
///
/// # Errors
/// Those of connecting to the last of them, and of a handshake; [`io::ErrorKind::NotFound`] when there is none.
pub async fn connect(addresses: &[Address], encryption: &Encryption) -> io::Result<Socket> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let connected = match connect_to(address).await {
            Ok(socket) => encryption.over(socket).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn connect_to(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp { host: Host::Ip(ip), port } => connect_tcp((*ip, *port).into()).await,
        Address::Tcp { host: Host::Zone(ip, interface), port } => {
            connect_tcp(SocketAddrV6::new(*ip, *port, 0, *interface).into()).await
        }
        Address::Tcp { host: Host::Name(_), .. } => {
            Err(io::Error::new(io::ErrorKind::NotFound, "the name was not asked for"))
        }
        Address::Unix(path) => begin(Domain::UNIX, &SockAddr::unix(path)?, Family::Unix).await,
    }
}

async fn connect_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = begin(Domain::for_address(address), &SockAddr::from(address), Family::Tcp).await?;
    if socket.is_its_own_peer() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(socket)
}

async fn begin(domain: Domain, address: &SockAddr, family: Family) -> io::Result<Socket> {
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    if family == Family::Tcp {
        socket.set_tcp_nodelay(true)?;
    }
    let begun = socket.connect(address);
    let mut socket = Socket::bare(OwnedFd::from(socket), family);
    match begun {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => socket.connected().await?,
        // The backlog of a Unix listener is full: refused, as TCP would have it.
        Err(error) => return Err(error),
    }
    Ok(socket)
}
