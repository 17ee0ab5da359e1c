//! Connections we open.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::Socket;
use crate::config::{Address, Host};

/// A connection to `address`.
///
/// # Errors
/// Those of connecting and of looking up a name.
pub async fn connect(address: &Address) -> io::Result<Socket> {
    let stream = match address {
        Address::Tcp { host: Host::Ip(ip), port } => TcpStream::connect((*ip, *port)).await?,
        Address::Tcp { host: Host::Name(name), port } => TcpStream::connect((name.as_str(), *port)).await?,
        Address::Unix(path) => return UnixStream::connect(path).await.map(Socket::from),
    };
    // The kernel may give the connection that very port on our side, and then connects it to itself: nobody listens.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(Socket::from(stream))
}
