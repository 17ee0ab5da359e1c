//! A place in a pool with slots, after a wait in its queue if it must be.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::attempt::Outbound;
use super::error::Fault;
use crate::endpoint::EndpointId;
use crate::listen::Wait;
use crate::observe::Record;
use crate::pool::{Ask, Claim, Kind, Place, Pool, Refused, Waiting, Wish};

/// A place at an endpoint that is none of `tried`, if there is another. `turn` is that of the place it had before, or 0.
///
/// # Errors
/// When there is no room in the queue, or the wait in it was too long.
pub(super) async fn place(
    outbound: &Outbound<'_>,
    pool: &Arc<Pool>,
    wish: Wish,
    tried: &[EndpointId],
    turn: u64,
    record: &mut Option<Box<Record>>,
) -> Result<Place, Fault> {
    let kind = Kind::of(&outbound.head.method, outbound.admitted.target.path());
    // Behind a trusted proxy or a Unix socket are many clients.
    let client = outbound.client.peer().ip().filter(|_| !outbound.client_fields.are_trusted());
    let mut waiting = match pool.claim_slot(&Ask { wish, tried, kind, client, turn }) {
        Claim::Place(place) => return Ok(place),
        Claim::Refused(refused) => return Err(refused.into()),
        Claim::Wait(waiting) => waiting,
    };
    // Dropped with the wait, whether a place or the client's leaving ends it.
    let _told = Told { since: waiting.since(), record };
    wait(outbound, &mut waiting).await
}

/// Tells a record how long its request has waited.
struct Told<'a> {
    since: Instant,
    record: &'a mut Option<Box<Record>>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record {
            record.queued(self.since.elapsed());
        }
    }
}

/// Waits without a timer of its own: the tick of the thread says when it is time to look.
async fn wait(outbound: &Outbound<'_>, waiting: &mut Waiting) -> Result<Place, Fault> {
    let client = outbound.client;
    client.renew();
    client.wait(Wait::Place, waiting.look_at());
    let answer = poll_fn(|cx| {
        loop {
            if let Poll::Ready(answer) = waiting.poll(cx) {
                return Poll::Ready(answer.map_err(Fault::from));
            }
            match client.service_expired() {
                Some(Wait::Place) => match waiting.look(Instant::now()) {
                    Ok(()) => {
                        client.renew();
                        client.wait(Wait::Place, waiting.look_at());
                    }
                    Err(refused) => return Poll::Ready(Err(refused.into())),
                },
                Some(wait) => return Poll::Ready(Err(Fault::late(wait))),
                None => return Poll::Pending,
            }
        }
    });
    let answer = answer.await;
    client.renew();
    answer
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::NoPlace(refused)
    }
}
