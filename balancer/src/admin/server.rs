//! Opens and closes what the service listens on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::geteuid;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::accept;
use super::access::Door;
use super::instance::SAMPLE;
use super::socket::{self, SocketFile};
use super::{Account, Instance, candidates};
use crate::config::{self, read_token, token_is_open};

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
                Some(path) => {
                    if let Some(warning) = token_is_open(path) {
                        tracing::warn!("{warning}");
                    }
                    Door::Token(read_token(path).map_err(StartError::Token)?)
                }
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
            tasks.spawn(accept::unix(listener, Arc::clone(instance)));
            file = Some(opened);
        }
        if let Some((listener, door)) = opened.address {
            let listener = TcpListener::from_std(listener)?;
            let bound = listener.local_addr()?;
            tracing::info!("admin service on http://{bound}/");
            tasks.spawn(accept::tcp(listener, door, Arc::clone(instance)));
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
