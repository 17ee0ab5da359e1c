//! Listeners: where clients connect, and what is done with a connection besides its requests.
//!
//! Decides which thread serves a connection, how many there may be, when one has taken too long and how it is closed.
//! Called by `app`, which opens listeners once and runs one [`Server`] a thread; calls a [`Service`] for each request.
//! Never looks at what a request wants.

mod accept;
mod chunks;
mod client;
mod close;
mod connection;
mod control;
mod framing;
mod open;
mod parked;
mod refusal;
mod refusing;
mod registry;
mod server;
mod socket;
mod threads;
mod watched;

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;

pub use client::{Client, Peer, Takeover, Wait};
pub use close::text;
pub use control::Control;
pub use open::{Listener, SocketFile, open};
pub use refusal::Refusal;
pub use server::Server;
pub use socket::Socket;

/// What answers requests.
pub trait Service: 'static {
    /// What is kept for the life of a connection.
    type Connection: 'static;
    /// The body of an answer. Its drop is the end of the exchange.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static;

    /// A client connected.
    fn connected(&self, client: &Rc<Client>) -> Self::Connection;

    /// Answers one request; requests of a connection come one after another.
    fn answer(
        &self,
        connection: Rc<Self::Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>>;

    /// A request was refused before it got here; the id under which the log has it.
    fn refused(&self, client: &Client, refusal: Refusal) -> HeaderValue;
}
