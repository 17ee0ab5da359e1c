//! Two sockets that have become one (RFC 9110 §7.8): bytes flow both ways until both sides have ended.

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};

use super::error::Fault;
use super::upstream::Upstream;
use crate::endpoint::Connected;
use crate::listen::{Client, Socket};
use crate::observe::Record;
use crate::pool::Place;

/// The worker's side of a tunnel that waits for the client's.
#[derive(Debug)]
pub(super) struct Tunnel {
    socket: Socket,
    read: Bytes,
    connected: Connected,
    place: Place,
}

impl Tunnel {
    /// Takes the worker's socket after its 101.
    ///
    /// # Errors
    /// [`Fault::ClosedEarly`] when the connection broke at that moment.
    pub(super) fn new(upstream: Upstream, place: Place) -> Result<Self, Fault> {
        let (socket, read, connected) = upstream.into_socket()?;
        Ok(Self { socket, read, connected, place })
    }

    /// Joins it to the client's socket once our own 101 is written.
    pub(super) fn join(self, client: &Client, record: Option<Box<Record>>) {
        client.take_over(Box::new(move |socket, read| Box::pin(self.relay(socket, read, record))));
    }

    /// A side that ends is passed on as an end, and the other direction goes on.
    async fn relay(self, mut client: Socket, sent_by_client: Bytes, mut record: Option<Box<Record>>) {
        let Self { socket: mut worker, read: sent_by_worker, connected, place } = self;
        let relayed = async {
            worker.write_all(&sent_by_client).await?;
            client.write_all(&sent_by_worker).await?;
            copy_bidirectional_with_sizes(&mut client, &mut worker, BUFFER, BUFFER).await
        };
        let relayed = relayed.await;
        if let Some(record) = &mut record {
            match relayed {
                Ok((_, to_client)) => {
                    record.sent(sent_by_worker.len() + usize::try_from(to_client).unwrap_or(usize::MAX))
                }
                Err(_) => record.failed("tunnel_broken"),
            }
            record.worker_done();
        }
        drop((worker, connected, place));
    }
}

/// Each way; held for as long as the tunnel is open.
const BUFFER: usize = 16 * 1024;
