//! Who the client of a connection is, where a proxy in front of us tells it by the PROXY protocol.
//!
//! Decides nothing of who is believed, which the configuration does. Called by the connection before anything else of a
//! connection is read. Never reads a header from anybody else: then anybody could be whoever it likes.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use ipnet::IpNet;

use super::stream::Stream;
use crate::listen::refusal::Refusal;
use crate::net::Peer;
use crate::proxy_protocol::{self, BadHeader};

/// Whether a connection of `peer` has to begin with a header.
pub(in crate::listen) fn is_wanted(peer: Peer, from: &[IpNet]) -> bool {
    // Of those that have told already, another is not to be had.
    matches!(peer, Peer::Tcp(_)) && peer.ip().is_some_and(|ip| from.iter().any(|network| network.contains(&ip)))
}

/// Reads the header and says who the client is.
///
/// # Errors
/// What is wrong with it; nothing where the peer has left.
pub(super) async fn client(stream: &mut Stream, within: Duration) -> Result<Peer, Option<Refusal>> {
    stream.alarm.set(Some(stream.begun() + within));
    let client = poll_fn(|cx| poll_client(cx, stream)).await;
    stream.alarm.set(None);
    client
}

fn poll_client(cx: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<Peer, Option<Refusal>>> {
    loop {
        match proxy_protocol::read(stream.inbox.unread()) {
            Ok(Some((announced, end))) => {
                stream.inbox.consume(end);
                let told = announced.client.or_else(|| stream.peer().address());
                return Poll::Ready(Ok(told.map_or(stream.peer(), Peer::Announced)));
            }
            Ok(None) => {}
            Err(BadHeader) => return Poll::Ready(Err(Some(Refusal::BadProxyHeader))),
        }
        match stream.socket.poll_read(cx, &mut stream.inbox) {
            Poll::Ready(Ok(length)) if length > 0 => {}
            Poll::Ready(_) => return Poll::Ready(Err(None)),
            Poll::Pending => break,
        }
    }
    match stream.alarm.rung() {
        Some(_) => Poll::Ready(Err(Some(Refusal::SlowProxyHeader))),
        None => Poll::Pending,
    }
}
