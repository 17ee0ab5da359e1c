//! Listeners: where clients connect, and what is done with a connection besides its requests.
//!
//! Decides which thread serves a connection, how many there may be, when one has taken too long and how it is closed.
//! Called by `app`, which opens listeners once and runs one [`Server`] a thread; calls a [`Service`] for each request.
//! Never looks at what a request wants.

mod accept;
mod close;
mod connection;
mod control;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(not(feature = "tls"))]
#[path = "no_handshake.rs"]
mod handshake;
mod idle;
mod refusal;
mod room;
mod server;
mod serving;

pub use accept::open::{Listener, open};
pub use accept::passed::Passed;
pub use accept::unix::admit;
pub use close::text;
pub use connection::service::Service;
pub use connection::stream::{BodyError, Stream};
pub use control::Control;
pub use idle::alarm::Alarm;
pub use refusal::Refusal;
pub use server::Server;
