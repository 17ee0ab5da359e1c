//! Listeners: where clients connect, and what is done with a connection besides its requests.
//!
//! Decides which thread serves a connection, how many there may be, when one has taken too long and how it is closed.
//! Called by `app`, which opens listeners once and runs one [`Server`] a thread; calls a [`Service`] for each request.
//! Never looks at what a request wants.

mod accept;
mod alarm;
mod clients;
mod close;
mod connection;
mod control;
mod open;
mod outgoing;
mod parked;
mod passed;
mod refusal;
mod refusing;
mod registry;
mod server;
mod serving;
mod stream;
mod tasks;
mod threads;
mod unix;

use std::time::Instant;

pub use alarm::Alarm;
pub use close::text;
pub use control::Control;
pub use open::{Listener, open};
pub use passed::Passed;
pub use refusal::Refusal;
pub use server::Server;
pub use stream::{BodyError, Stream};
pub use unix::SocketFile;

use crate::net::Peer;

/// What answers requests.
pub trait Service: 'static {
    /// What is kept for the life of a connection.
    type Connection: 'static;

    /// A client connected.
    fn connected(&self, peer: Peer) -> Self::Connection;

    /// Answers the request of `stream`, to its end; requests of a connection come one after another.
    fn answer(&self, connection: &Self::Connection, stream: &mut Stream) -> impl Future<Output = ()>;

    /// What `peer` has sent was refused before it got here; the id under which the log has it.
    fn refused(&self, peer: Peer, begun: Instant, refusal: Refusal) -> String;
}
