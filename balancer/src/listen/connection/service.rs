//! What answers requests, as listeners see it. Decides nothing; called by `connection` for each request. Never accepts or closes.

use std::time::Instant;

use super::stream::Stream;
use crate::listen::refusal::Refusal;
use crate::net::Peer;

/// What answers requests.
pub trait Service: 'static {
    /// What is kept for the life of a connection.
    type Connection: 'static;

    /// A client connected, over TLS or not.
    fn connected(&self, peer: Peer, encrypted: bool) -> Self::Connection;

    /// Answers the request of `stream`, to its end; requests of a connection come one after another.
    fn answer(&self, connection: &Self::Connection, stream: &mut Stream) -> impl Future<Output = ()>;

    /// What `peer` has sent was refused before it got here; the id under which the log has it.
    fn refused(&self, peer: Peer, begun: Instant, refusal: Refusal) -> String;
}
