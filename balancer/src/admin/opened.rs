//! Where the admin service listens: opens what the configuration says, or the first of the usual places that will do.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::access::AdminAuth;
use super::socket::{self, AdminSocketFile};
use super::{Account, candidates, name_of};
use crate::config::{self, read_token, token_is_open};

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

/// What the service listens on, and who may ask there.
#[derive(Debug)]
pub struct Opened {
    name: String,
    pub(super) socket: Option<AdminSocket>,
    pub(super) address: Option<(TcpListener, AdminAuth)>,
}

/// What a reload has opened anew; the inner nothing closes what there was.
#[derive(Debug, Default)]
pub struct Reopened {
    pub(super) socket: Option<Option<AdminSocket>>,
    pub(super) address: Option<Option<(TcpListener, AdminAuth)>>,
}

impl Opened {
    /// Opens what `config` says for an instance called `name` that serves `file`. Where it names no socket and none of the usual places will do,
    /// it goes without one and says so: an instance that serves is worth more than one that can be asked.
    ///
    /// While we are root still: ports, the token and the places of sockets may be root's alone. What is made belongs to
    /// `account`, which we are about to become.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(
        name: &str,
        file: Option<&Path>,
        config: &config::Admin,
        account: Option<&Account>,
    ) -> Result<Self, StartError> {
        let (name, socket) = match (&config.socket, file) {
            (Some(path), _) => {
                let opened = socket::open(path, account).map_err(|error| StartError::Socket(path.clone(), error))?;
                (name.to_owned(), Some(opened))
            }
            (None, Some(file)) => (name.to_owned(), open_usual(&name_of(file), account)),
            (None, None) => open_numbered(name, account),
        };
        let mut address = None;
        if let Some(wanted) = config.address {
            let auth = auth(config)?;
            let bound = TcpListener::bind(wanted);
            // Nobody has written it anywhere: another port is as good.
            let bound = if file.is_none() { bound.or_else(|_| TcpListener::bind((wanted.ip(), 0))) } else { bound };
            let listener = bound.and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            address = Some((listener.map_err(|error| StartError::Address(wanted, error))?, auth));
        }
        Ok(Self { name, socket, address })
    }

    /// Where its page is.
    pub fn page(&self) -> Option<SocketAddr> {
        self.address.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// What the instance is called: `run-2` where a `run` is there already.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Reopened {
    /// What is different in the second of two configurations. `listener` is that of the address, where it stays.
    pub(super) fn new(
        name: &str,
        file: Option<&Path>,
        (old, new): (&config::Admin, &config::Admin),
        listener: Option<&TcpListener>,
    ) -> Result<Self, StartError> {
        let mut reopened = Self::default();
        if old.socket != new.socket {
            let only = config::Admin { address: None, ..new.clone() };
            reopened.socket = Some(Opened::new(name, file, &only, None)?.socket);
        }
        if (old.address, &old.token_file) == (new.address, &new.token_file) {
            return Ok(reopened);
        }
        reopened.address = Some(match (new.address, listener) {
            (None, _) => None,
            (Some(address), None) => {
                let failed = |error| StartError::Address(address, error);
                let listener = TcpListener::bind(address).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                Some((listener, auth(new)?))
            }
            (Some(address), Some(listener)) => {
                Some((listener.try_clone().map_err(|error| StartError::Address(address, error))?, auth(new)?))
            }
        });
        Ok(reopened)
    }
}

/// What lets clients of the address in.
fn auth(config: &config::Admin) -> Result<AdminAuth, StartError> {
    Ok(match &config.token_file {
        Some(path) => {
            if let Some(warning) = token_is_open(path) {
                tracing::warn!("{warning}");
            }
            AdminAuth::Token(read_token(path).map_err(StartError::Token)?)
        }
        None => AdminAuth::Loopback,
    })
}

/// A socket and its file.
pub(super) type AdminSocket = (UnixListener, AdminSocketFile);

/// The socket of an instance without a file, under the first name that no other has.
fn open_numbered(name: &str, account: Option<&Account>) -> (String, Option<AdminSocket>) {
    let names = (1..=NAMES_MAX).map(|number| if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
    for name in names {
        match try_usual(&name, account) {
            Tried::Taken(_) => {}
            tried => return (name, tried.or_warning()),
        }
    }
    (name.to_owned(), open_usual(name, account))
}

/// The socket in the first of the usual places that will do.
fn open_usual(name: &str, account: Option<&Account>) -> Option<AdminSocket> {
    try_usual(name, account).or_warning()
}

/// What became of a search for a place.
enum Tried {
    Opened(Box<AdminSocket>),
    /// Another instance answers there.
    Taken(PathBuf),
    /// Why none will do.
    Nowhere(Vec<String>),
}

fn try_usual(name: &str, account: Option<&Account>) -> Tried {
    let mut reasons = Vec::new();
    let uid = account.map_or_else(geteuid, |account| account.uid);
    for path in candidates(name, uid) {
        match socket::open(&path, account) {
            Ok(opened) => return Tried::Opened(Box::new(opened)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Tried::Taken(path),
            Err(error) => reasons.push(format!("{}: {error}", path.display())),
        }
    }
    Tried::Nowhere(reasons)
}

impl Tried {
    fn or_warning(self) -> Option<AdminSocket> {
        match self {
            Self::Opened(socket) => return Some(*socket),
            Self::Taken(path) => tracing::warn!(
                "another instance has {}; give this one a socket of its own ([admin] socket), or commands cannot reach it",
                path.display()
            ),
            Self::Nowhere(reasons) => tracing::warn!(
                "no admin socket, so commands cannot reach this instance; set [admin] socket. {}",
                reasons.join("; ")
            ),
        }
        None
    }
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

/// Instances without a file that have the same name.
const NAMES_MAX: usize = 99;
