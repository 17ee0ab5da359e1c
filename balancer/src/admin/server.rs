//! Accepts admin clients and has their requests answered, each connection a task of its own on the control thread.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::geteuid;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::access::Door;
use super::instance::SAMPLE;
use super::socket::{self, SocketFile};
use super::{Account, Instance, candidates, route};
use crate::config::{self, read_token};

/// The running service; dropping it closes everything and removes the socket.
#[derive(Debug)]
pub struct AdminServer {
    _tasks: JoinSet<()>,
    _file: Option<SocketFile>,
}

/// Why it cannot be where the configuration wants it.
#[derive(Debug)]
pub enum StartError {
    /// The Unix socket.
    Socket(PathBuf, io::Error),
    /// The TCP address.
    Address(SocketAddr, io::Error),
    /// The token.
    Token(String),
}

/// What the service listens on, and what opens its door.
#[derive(Debug)]
pub struct Opened {
    socket: Option<(std::os::unix::net::UnixListener, SocketFile)>,
    address: Option<(std::net::TcpListener, Door)>,
}

impl Opened {
    /// Opens what `config` says for an instance called `name`. Where it names no socket and none of the usual places will do,
    /// it goes without one and says so: an instance that serves is worth more than one that can be asked.
    ///
    /// While we are root still: ports, the token and the places of sockets may be root's alone. What is made belongs to
    /// `account`, which we are about to become.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(name: &str, config: &config::Admin, account: Option<&Account>) -> Result<Self, StartError> {
        let socket = match &config.socket {
            Some(path) => Some(socket::open(path, account).map_err(|error| StartError::Socket(path.clone(), error))?),
            None => open_usual(name, account),
        };
        let mut address = None;
        if let Some(wanted) = config.address {
            let door = match &config.token_file {
                Some(path) => Door::Token(read_token(path).map_err(StartError::Token)?),
                None => Door::Loopback,
            };
            let listener = std::net::TcpListener::bind(wanted).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            address = Some((listener.map_err(|error| StartError::Address(wanted, error))?, door));
        }
        Ok(Self { socket, address })
    }
}

impl AdminServer {
    /// Serves what was opened.
    ///
    /// # Errors
    /// When the runtime refuses a listener.
    pub fn start(instance: &Arc<Instance>, opened: Opened) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        let mut file = None;
        if let Some((listener, opened)) = opened.socket {
            let listener = UnixListener::from_std(listener)?;
            tracing::info!("admin socket at {}", opened.path().display());
            tasks.spawn(accept_unix(listener, Arc::clone(instance)));
            file = Some(opened);
        }
        if let Some((listener, door)) = opened.address {
            let listener = TcpListener::from_std(listener)?;
            let bound = listener.local_addr()?;
            tracing::info!("admin service on http://{bound}/");
            tasks.spawn(accept_tcp(listener, door, Arc::clone(instance)));
        }
        let instance = Arc::clone(instance);
        tasks.spawn(async move {
            loop {
                instance.sample();
                tokio::time::sleep(SAMPLE).await;
            }
        });
        Ok(Self { _tasks: tasks, _file: file })
    }
}

/// The socket in the first of the usual places that will do.
fn open_usual(name: &str, account: Option<&Account>) -> Option<(std::os::unix::net::UnixListener, SocketFile)> {
    let mut reasons = Vec::new();
    let uid = account.map_or_else(geteuid, |account| account.uid);
    for path in candidates(name, uid) {
        match socket::open(&path, account) {
            Ok(opened) => return Some(opened),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tracing::warn!(
                    "another instance has {}; give this one a socket of its own ([admin] socket), or commands cannot reach it",
                    path.display()
                );
                return None;
            }
            Err(error) => reasons.push(format!("{}: {error}", path.display())),
        }
    }
    tracing::warn!("no admin socket, so no commands; name a place for it ([admin] socket). {}", reasons.join("; "));
    None
}

async fn accept_unix(listener: UnixListener, instance: Arc<Instance>) {
    let permits = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        serve(accepted, &permits, &Door::Unix, &instance).await;
    }
}

async fn accept_tcp(listener: TcpListener, door: Door, instance: Arc<Instance>) {
    let permits = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let accepted = listener.accept().await.map(|(stream, _)| {
            // Who takes nothing for that long is gone, or wants to keep others out.
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED));
            let _ = stream.set_nodelay(true);
            stream
        });
        serve(accepted, &permits, &door, &instance).await;
    }
}

/// Serves a connection; beyond so many at once, the next waits to be accepted.
async fn serve<S>(accepted: io::Result<S>, permits: &Arc<Semaphore>, door: &Door, instance: &Arc<Instance>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "cannot accept an admin client");
            return tokio::time::sleep(PAUSE).await;
        }
    };
    // It fails only when the semaphore is closed, and nobody closes it.
    let Ok(permit) = Arc::clone(permits).acquire_owned().await else { return };
    let (door, instance) = (door.clone(), Arc::clone(instance));
    let answer = move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let (door, instance) = (door.clone(), Arc::clone(&instance));
        async move {
            Ok::<_, Infallible>(match door.check(&head) {
                Ok(()) => route::answer(&instance, &head).await,
                Err(refusal) => *refusal,
            })
        }
    };
    tokio::spawn(async move {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADER).max_buf_size(READ_BUFFER);
        // How a client's connection ends is its own affair.
        let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        drop(permit);
    });
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path, error) => write!(f, "cannot open the admin socket {}: {error}", path.display()),
            Self::Address(address, error) => write!(f, "cannot open the admin address {address}: {error}"),
            Self::Token(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(_, error) | Self::Address(_, error) => Some(error),
            Self::Token(_) => None,
        }
    }
}

/// Clients at once on the socket, and as many on the address.
const CLIENTS_MAX: usize = 64;
/// For a header section, and between requests.
const HEADER: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(30);
const READ_BUFFER: usize = 16 * 1024;
/// After a failed accept, such as for a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
