//! Sockets and the memory for what passes through them.
//!
//! Decides how bytes get into and out of the kernel with few calls, and who holds memory meanwhile: whoever waits holds none.
//! Called by whoever has a socket, waits, or counts clients. Never looks at what the bytes mean, but in [`get`], which asks an
//! endpoint one question.

mod acknowledged;
mod allowance;
mod ask;
#[cfg(feature = "http2")]
mod ask_http2;
mod bare;
mod buffer;
mod connect;
mod crowd;
#[cfg(feature = "tls")]
mod encryption;
#[cfg(not(feature = "tls"))]
#[path = "no_encryption.rs"]
mod encryption;
#[cfg(feature = "tls")]
mod handshake_failed;
#[cfg(feature = "http2")]
mod io;
mod options;
mod peer;
mod per_client;
mod plain;
#[cfg(feature = "tls")]
mod session;
#[cfg(not(feature = "tls"))]
#[path = "no_session.rs"]
mod session;
mod socket;
mod socket_file;
mod timer;
mod until;

pub use allowance::{Allowance, Shortage};
pub use ask::{Answer, announcement, get, get_over};
pub use bare::Bare;
pub use buffer::{Buffer, Outbox, give_fields, take_fields};
pub use connect::connect;
pub use crowd::Crowd;
pub use encryption::Encryption;
#[cfg(not(feature = "tls"))]
pub use encryption::HandshakeFailed;
#[cfg(feature = "tls")]
pub use handshake_failed::HandshakeFailed;
#[cfg(feature = "http2")]
pub use io::{Activity, Io, Notes};
pub use options::ASK_PEER;
pub use peer::{Client, ClientKey, Peer};
pub use per_client::{CellOf, PerClient, Whose};
pub use plain::Family;
pub use session::Session;
pub use socket::Socket;
pub use socket_file::SocketFile;
pub use timer::{Sleep, Timer, sleep, timeout};
pub use until::until;
