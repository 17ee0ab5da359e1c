//! A place in a pool with slots, after a wait in its queue if it must be.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::attempt::{Outbound, wait_without_reading};
use super::error::Fault;
use super::exchange::Exchange;
use super::waits::Wait;
use crate::endpoint::EndpointId;
use crate::pool::{Ask, Kind, Place, Pool, Refused, RoutingKey, SlotClaim, Waiting};

/// A place at an endpoint that is none of `tried`, if there is another. `turn` is that of the place it had before, or 0; `streams` says
/// that more of its body is to come than is here.
///
/// # Errors
/// When there is no room in the queue, or the wait in it was too long.
pub(super) async fn place(
    outbound: &Outbound<'_>,
    pool: &Arc<Pool>,
    exchange: &mut Exchange<'_>,
    routing: RoutingKey,
    (tried, turn): (&[EndpointId], u64),
    streams: bool,
) -> Result<Place, Fault> {
    let kind = Kind::of(&outbound.head.method, outbound.admitted.path());
    let client = exchange.one_client();
    let mut waiting = match pool.claim_slot(&Ask { routing, tried, kind, client, turn, streams }) {
        SlotClaim::Place(place) => return Ok(place),
        SlotClaim::Refused(refused) => return Err(refused.into()),
        SlotClaim::Wait(waiting) => waiting,
    };
    let place = turn_comes(exchange, &mut waiting).await;
    exchange.record.queued(waiting.since().elapsed());
    place
}

/// Waits without a timer of its own: the tick of the thread says when it is time to look.
async fn turn_comes(exchange: &mut Exchange<'_>, waiting: &mut Waiting) -> Result<Place, Fault> {
    exchange.waits.wait(Wait::Place, waiting.look_at());
    let answer = poll_fn(|cx| {
        loop {
            if let Poll::Ready(answer) = waiting.poll(cx) {
                return Poll::Ready(answer.map_err(Fault::from));
            }
            match wait_without_reading(cx, exchange) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Fault::NoEndpoint) => match waiting.look(Instant::now()) {
                    Ok(()) => exchange.waits.wait(Wait::Place, waiting.look_at()),
                    Err(refused) => return Poll::Ready(Err(refused.into())),
                },
                Poll::Ready(fault) => return Poll::Ready(Err(fault)),
            }
        }
    });
    let answer = answer.await;
    exchange.waits.over();
    answer
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::NoPlace(refused)
    }
}
