//! Upstream connections: opened, kept for the next request, thrown away.
//!
//! Each proxy thread keeps its own, so that a request, its client and its worker meet on one thread and nothing is locked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::body::RequestBody;
use super::error::Fault;
use crate::config::{Address, Host};
use crate::endpoint::{Endpoint, EndpointId};
use crate::listen::Socket;

/// The idle connections of one thread.
#[derive(Debug, Default)]
pub struct Upstreams {
    idle: RefCell<HashMap<EndpointId, Vec<Idle>, BuildHasherDefault<IdHasher>>>,
}

/// An open connection to an endpoint.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) send: SendRequest<RequestBody>,
    /// Its abort closes the connection whatever it is busy with.
    pub(super) task: AbortHandle,
    /// Whether it has carried a request before: it may turn out to be closed.
    pub(super) reused: bool,
}

#[derive(Debug)]
struct Idle {
    send: SendRequest<RequestBody>,
    task: AbortHandle,
    until: Instant,
}

impl Upstreams {
    /// The idle connection used last, if one is still open: the others may age out.
    pub(super) fn check_out(&self, endpoint: EndpointId, now: Instant) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&endpoint)?;
        while let Some(Idle { send, task, until }) = connections.pop() {
            if send.is_ready() && now < until {
                return Some(Upstream { send, task, reused: true });
            }
        }
        None
    }

    /// Keeps a connection whose response has been read to its end. `idle_max` bounds how many, `keep_alive` how long.
    pub(super) fn check_in(
        &self,
        endpoint: EndpointId,
        send: SendRequest<RequestBody>,
        task: AbortHandle,
        idle_max: usize,
        until: Instant,
    ) {
        if send.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(endpoint).or_default();
        if connections.len() < idle_max {
            connections.push(Idle { send, task, until });
        }
    }

    /// Closes what has been idle for too long; call it now and then.
    pub fn reap(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain(|idle| now < idle.until && !idle.send.is_closed());
            !connections.is_empty()
        });
    }

    /// Closes all that is idle, as long as the thread lives, once it is too old.
    pub async fn reap_for_ever(&self) {
        loop {
            tokio::time::sleep(REAP).await;
            self.reap(Instant::now());
        }
    }
}

/// Opens a connection.
///
/// # Errors
/// [`Fault::ConnectFailed`] or [`Fault::ConnectTimeout`].
pub(super) async fn open(endpoint: &Endpoint, within: Duration) -> Result<Upstream, Fault> {
    let socket = match timeout(within, connect(endpoint.address())).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            tracing::debug!(endpoint = &**endpoint.name(), address = %endpoint.address(), %error, "cannot connect");
            return Err(Fault::ConnectFailed);
        }
        Err(_) => return Err(Fault::ConnectTimeout),
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BUFFER);
    let (send, connection) = builder.handshake(TokioIo::new(socket)).await.map_err(|_| Fault::ConnectFailed)?;
    let task = spawn_local(async move {
        // What ends the connection is told to the request it carries; an idle one is nobody's concern.
        let _ = connection.with_upgrades().await;
    });
    Ok(Upstream { send, task: task.abort_handle(), reused: false })
}

async fn connect(address: &Address) -> io::Result<Socket> {
    let stream = match address {
        Address::Tcp { host: Host::Ip(ip), port } => TcpStream::connect((*ip, *port)).await?,
        Address::Tcp { host: Host::Name(name), port } => TcpStream::connect((name.as_str(), *port)).await?,
        Address::Unix(path) => return UnixStream::connect(path).await.map(Socket::Unix),
    };
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

/// Endpoint numbers are unique already; hashing them again buys nothing.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, id: u64) {
        // Spread over the high bits, which the map looks at too.
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// What is held of a worker's response at most while its client does not take it; also the bound of its header section.
const READ_BUFFER: usize = 64 * 1024;
const REAP: Duration = Duration::from_millis(500);
