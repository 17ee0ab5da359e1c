//! Why the program could not start or go on, in words for whoever is called at night.

use std::fmt;
use std::io;

use crate::admin::StartError;
use crate::config::ListenAddress;
use crate::supervise::SocketError;

/// Why the program could not start or go on.
#[derive(Debug)]
pub enum Failure {
    /// A listener could not be opened; with who holds the address, where that can be known.
    Listen(ListenAddress, io::Error, Option<(u32, String)>),
    /// A certificate or its key cannot be shown.
    Certificates(String),
    /// The account to run as could not be taken on.
    Identity(String),
    /// There is no place for the workers' sockets.
    Sockets(SocketError),
    /// The admin service cannot be where the configuration wants it.
    Admin(StartError),
    /// No worker was ever ready, and how it was with the first.
    NeverReady(String),
    /// A call to the operating system failed.
    System(&'static str, io::Error),
    /// A proxy thread ended although nobody had asked it to.
    Thread(Option<io::Error>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error, holder) => {
                write!(f, "cannot listen on {address}: {error}")?;
                match (holder, error.kind()) {
                    (Some((pid, name)), _) => write!(f, "; {name} (pid {pid}) listens there"),
                    (None, io::ErrorKind::PermissionDenied) if is_privileged(address) => {
                        f.write_str("; ports below 1024 need root or CAP_NET_BIND_SERVICE")
                    }
                    _ => Ok(()),
                }
            }
            Self::Admin(error) => error.fmt(f),
            Self::Identity(text) | Self::Certificates(text) => f.write_str(text),
            Self::Sockets(error) => error.fmt(f),
            Self::NeverReady(first) => {
                write!(f, "no worker was ever ready: giving up. The first death was: {first}")
            }
            Self::System(what, error) => write!(f, "{what}: {error}"),
            Self::Thread(Some(error)) => write!(f, "a proxy thread has ended: {error}"),
            Self::Thread(None) => f.write_str("a proxy thread has ended"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(_, error, _) | Self::System(_, error) | Self::Thread(Some(error)) => Some(error),
            Self::Sockets(error) => Some(error),
            Self::Admin(error) => Some(error),
            Self::Identity(_) | Self::Certificates(_) | Self::NeverReady(_) | Self::Thread(None) => None,
        }
    }
}

fn is_privileged(address: &ListenAddress) -> bool {
    matches!(address.place(), ListenAddress::Tcp(address) if address.port() < 1024)
}
