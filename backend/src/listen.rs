//! The listening socket.
//!
//! Decides where the worker listens and says who is in the way. Called by `source`, once. Never accepts.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::Options;

/// Where a worker listens, written `127.0.0.1:8000` or `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// Whoever has accepted the connections hands them over.
    Handed,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Handed => f.write_str("connections that are handed over"),
        }
    }
}

/// A blocking listening socket, TCP or Unix, and its address. A Unix socket's file goes when this does.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    pub(crate) address: Address,
    /// This process has made it.
    pub(crate) is_ours: bool,
}

impl Listener {
    /// # Errors
    /// `cannot listen on ADDRESS: REASON`
    pub(crate) fn bind(options: &Options) -> io::Result<Listener> {
        match (options.tcp_port(), &options.socket) {
            (None, Some(path)) => {
                bind_unix(path, options.backlog()).map_err(|error| explain(&format!("unix:{}", path.display()), &error))
            }
            (port, _) => {
                let (host, port) = (options.host.as_str(), port.unwrap_or(0));
                bind_tcp((host, port), options).map_err(|error| {
                    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
                    explain(&format!("{host}:{port}"), &error)
                })
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Address::Unix(path), true) = (&self.address, self.is_ours) {
            // It may be gone, or the next worker's already; neither is ours to report.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(place: (&str, u16), options: &Options) -> io::Result<Listener> {
    let address = place.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted worker gets its port back while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuse_port)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog())?;
    Ok(Listener { address: bound(&socket)?, socket, is_ours: true })
}

/// Where a socket is bound.
pub(crate) fn bound(socket: &Socket) -> io::Result<Address> {
    let address = socket.local_addr()?;
    match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => Ok(Address::Tcp(address)),
        (None, Some(path)) => Ok(Address::Unix(path.to_owned())),
        (None, None) => Err(io::Error::other("it has neither a port nor a path")),
    }
}

fn bind_unix(path: &Path, backlog: i32) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    Ok(Listener { socket, address: Address::Unix(path.to_owned()), is_ours: true })
}

/// Removes a socket nobody listens on. Anything else stays: a live worker's socket, a file that is no socket.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn explain(address: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}
