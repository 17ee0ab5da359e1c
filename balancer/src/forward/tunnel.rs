//! Two sockets that have become one (RFC 9110 §7.8): bytes flow both ways until both sides have ended.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::error::Fault;
use super::exchange::Exchange;
use super::scan::protocols;
use super::waits::Wait;
use crate::http1::{Fields, Name};
use crate::net::{Buffer, Client, Socket};
use crate::pool::{Crowding, Place, Pool};

/// One way through a tunnel. What waits for nothing holds nothing.
#[derive(Debug)]
struct Way {
    buffer: Buffer,
    ended: bool,
    /// Whether the other side knows that.
    told: bool,
    bytes: u64,
}

/// Whether a worker has chosen of the protocols that it was asked for, bits of `upgrades` (RFC 9110 §7.8). What it leaves unsaid
/// the client has to judge.
pub(super) fn was_asked_for(asked: u8, upgrades: &[String], answer: &Fields) -> bool {
    let mut chosen = answer.all(Name::Upgrade).flat_map(|value| value.split(|&byte| byte == b','));
    asked != 0 && chosen.all(|protocol| asked & protocols(protocol, upgrades) != 0)
}

/// Passes bytes between the client and `worker`, which has said `read` already. A side that ends is passed on as an end, and the
/// other direction goes on.
///
/// # Errors
/// When a side breaks, both are silent for longer than `tunnel_idle_timeout`, or one is for [`HALF`] after the other has ended, or others
/// need its `place`.
pub(super) async fn relay(
    exchange: &mut Exchange<'_>,
    (worker, read): (&mut Socket, Buffer),
    place: &Place,
    pool: &Pool,
) -> Result<(), Fault> {
    let (idle_timeout, whose, looks) = (pool.timeouts().tunnel_idle, exchange.one_client(), place.is_lasting());
    exchange.waits.end();
    // Our own 101 is the first that the client gets.
    poll_fn(|cx| exchange.stream.poll_flush(cx)).await.map_err(|_| Fault::TunnelBroken)?;
    let (client, inbox) = exchange.stream.tunnel();
    // From now on silence says nothing, so both are asked whether they are still there.
    client.find_out_when_gone();
    worker.find_out_when_gone();
    let mut to_worker = Way::new(std::mem::take(inbox));
    let mut to_client = Way::new(read);
    let (waits, mut passed) = (&mut exchange.waits, None);
    let relayed = poll_fn(|cx| {
        let there = to_worker.poll(cx, client, worker)?;
        let back = to_client.poll(cx, worker, client)?;
        if there.is_ready() && back.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let is_half = there.is_ready() != back.is_ready();
        let idle_timeout = if is_half { Some(idle_timeout.map_or(HALF, |it| it.min(HALF))) } else { idle_timeout };
        if idle_timeout.is_none() && !looks {
            return Poll::Pending;
        }
        let now_passed = (to_worker.bytes + to_client.bytes, is_half);
        if let Some(timeout) = idle_timeout
            && passed.replace(now_passed) != Some(now_passed)
        {
            let now = waits.now();
            waits.wait(Wait::Tunnel, now + timeout);
        }
        waits.look_every(looks.then_some(LOOK));
        let late = waits.late();
        if let Some(fault) = waits.looks().and_then(|now| makes_room(pool, place, ("tunnel", whose), now)) {
            return Poll::Ready(Err(fault));
        }
        late.map_or(Poll::Pending, |wait| Poll::Ready(Err(Fault::late(wait))))
    })
    .await;
    exchange.record.sent(usize::try_from(to_client.bytes).unwrap_or(usize::MAX));
    relayed
}

impl Way {
    fn new(buffer: Buffer) -> Self {
        Self { buffer, ended: false, told: false, bytes: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Socket, to: &mut Socket) -> Result<Poll<()>, Fault> {
        match self.pass(cx, from, to) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(_)) => Err(Fault::TunnelBroken),
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>, from: &mut Socket, to: &mut Socket) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            while !self.buffer.is_empty() {
                let written = to.poll_write(cx, self.buffer.unread());
                if written.is_pending() {
                    self.buffer.settle();
                }
                let written = ready!(written)?;
                self.bytes += written as u64;
                self.buffer.consume(written);
            }
            if self.ended {
                if !self.told {
                    ready!(to.poll_shut_down(cx));
                    self.told = true;
                }
                return Poll::Ready(Ok(()));
            }
            self.ended = ready!(from.poll_read(cx, &mut self.buffer))? == 0;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One line for a tunnel or an event stream that makes room for others.
fn tell_of_crowding(
    pool: &Pool,
    place: &Place,
    (what, client): (&str, Option<Client>),
    Crowding { of_client, all, places }: Crowding,
) {
    let (pool, endpoint) = (pool.name(), place.endpoint().name());
    let whose = client.map_or_else(String::new, |client| format!(" of client {client}, which has {of_client},"));
    tracing::info!(
        "pool {pool}: the newest {what}{whose} at {endpoint} is closed: requests wait, and tunnels and event streams have \
         {all} of {places} slots"
    );
}

/// What one that lasts is cut for, where it has to make room for others that wait.
fn makes_room(pool: &Pool, place: &Place, whose: (&str, Option<Client>), now: Instant) -> Option<Fault> {
    tell_of_crowding(pool, place, whose, place.has_to_go(now)?);
    Some(Fault::PlaceNeeded)
}

/// The same for an event stream, or for one of gRPC, which counts as one that lasts from the first look on: most are over by then.
pub(super) fn stream_makes_room(
    pool: &Pool,
    place: &Place,
    (is_grpc, client): (bool, Option<Client>),
    now: Instant,
) -> Option<Fault> {
    if is_grpc {
        place.lasts(client);
    }
    makes_room(pool, place, (if is_grpc { "stream of gRPC" } else { "event stream" }, client), now)
}

/// Looks whether it is too late for what a stream of gRPC waits for, whose answer has not begun, and whether others need its place.
pub(super) fn wait_for_grpc(exchange: &mut Exchange<'_>, pool: &Pool, place: &Place) -> Poll<Fault> {
    exchange.waits.look_every(Some(LOOK));
    if let Some(late) = exchange.waits.late() {
        return Poll::Ready(Fault::late(late));
    }
    let whose = (true, exchange.one_client());
    let fault = exchange.waits.looks().and_then(|now| stream_makes_room(pool, place, whose, now));
    fault.map_or(Poll::Pending, Poll::Ready)
}

/// A silence after which a tunnel ends of which one side has ended: most often nobody is there any more, and the other side does not notice.
const HALF: Duration = Duration::from_secs(10);
/// Between looks whether others need the place.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// Pieces before others have their turn.
const TURNS: usize = 16;
