//! A worker's answer on its way to the client.
//!
//! Decides what the head tells of the endpoint and of its connection, and hands the body on. Called by [`super::Forwarder`] once an
//! attempt has an answer. Never asks another endpoint.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;

use super::attempt::Outbound;
use super::error::Fault;
use super::exchange::Exchange;
use super::fields::{self, ConnectionTerms};
use super::grpc;
use super::held::Reserved;
use super::relay::{Lease, Relay, SilenceLimits};
use super::taking::Taking;
use super::tunnel;
use super::unread::may_be_left;
use super::upload::Upload;
use super::upstream::{Upstream, Upstreams};
use crate::http1::{BodyLength, Fields, Name, ResponseHead, Version};
use crate::observe::Lasting;
use crate::pool::{Place, Pool, RoutingKey};

/// Makes the client's answer of a worker's, and passes it on.
///
/// # Errors
/// When the worker's is none that may go on.
pub(super) async fn pass_on(
    upstreams: &Rc<Upstreams>,
    outbound: &Outbound<'_>,
    exchange: &mut Exchange<'_>,
    upload: &mut Upload,
    routing: &RoutingKey,
    // In this order, for parameters are dropped in reverse: the connection is closed by the time somebody else gets the place.
    (length, mut place, mut upstream): (BodyLength, Place, Box<Upstream>),
) -> Result<(), Fault> {
    let pool = outbound.pool;
    let head = upstream.answer();
    upload.answered();
    exchange.waits.over();
    pool.answered(&outbound.asked(exchange));
    let one_message_only = head.version == Version::Http10;
    let Some(said) = fields::to_client(head, length) else {
        place.failed(&Fault::BadResponse);
        return Err(Fault::BadResponse);
    };
    let status = head.status;
    judge(&mut place, status);
    if let Some(cookie) = affinity_cookie(pool, routing, &place) {
        head.fields.append("Set-Cookie", cookie.as_bytes());
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let _stays = pool.stays(routing.client);
        // On the heap: a tunnel is rare.
        return Box::pin(switch(outbound, exchange, upstream, place)).await;
    }
    exchange.answered(head, outbound.limits);
    let is_event_stream = is_event_stream(head, length);
    exchange.respond(head, length, false);
    let is_last = one_message_only
        || length == BodyLength::UntilClose
        || may_be_left(&outbound.head.method, upload.length(), status, upload.ended());
    let keep_alive = keep_alive(&said, is_last, pool.timeouts().keep_alive);
    if !keep_alive.is_zero() && !place.owns_connection() && upstream.answered(place.endpoint(), || exchange.waits.now())
    {
        pool.serves_one_at_a_time(place.endpoint());
    }
    let stays = is_event_stream.then(|| {
        exchange.record.lasts(Lasting::EventStream);
        place.lasts(exchange.one_client());
        pool.stays(routing.client)
    });
    let idle_max = pool.idle_connections_max();
    let lease = Lease { place, upstream, upstreams: Rc::clone(upstreams), idle_max, keep_alive };
    let lease = until_last_byte(lease, length, exchange, upload);
    let (patience, rate_min) = patience(outbound, is_event_stream);
    let relay = Relay {
        exchange,
        upload,
        pool,
        lease,
        patience,
        ahead: usize::try_from(pool.buffers().response).unwrap_or(usize::MAX),
        reserved: Reserved::new(),
        taking: Taking::new(rate_min),
        failed: None,
        whole: false,
    };
    relay.run().await;
    pool.saw(routing.client, exchange.waits.now());
    drop(stays);
    Ok(())
}

/// Place and connection, for as long as a body follows; where none does, they go back at once and the answer is finished.
#[inline]
fn until_last_byte(lease: Lease, length: BodyLength, exchange: &mut Exchange<'_>, upload: &Upload) -> Option<Lease> {
    if !matches!(length, BodyLength::None | BodyLength::Known(0)) {
        return Some(lease);
    }
    let now = exchange.waits.now();
    lease.give_back(upload.ended(), now);
    exchange.record.worker_done(now);
    exchange.stream.finish(&Fields::default());
    None
}

/// How long a silence of the worker or of the client may last, and how much the client has to take a second. A stream of gRPC may be silent
/// for as long as both like.
fn patience(outbound: &Outbound<'_>, is_event_stream: bool) -> (SilenceLimits, u64) {
    if grpc::is_one(outbound.head, outbound.pool) {
        return (SilenceLimits { worker: grpc::SILENCE, client: grpc::SILENCE }, 0);
    }
    let patience = SilenceLimits { worker: outbound.pool.timeouts().idle, client: outbound.limits.body_timeout };
    (patience, if is_event_stream { 0 } else { outbound.limits.response_rate_min })
}

/// Becomes a tunnel, if the client has asked for the protocol.
async fn switch(
    outbound: &Outbound<'_>,
    exchange: &mut Exchange<'_>,
    mut upstream: Box<Upstream>,
    mut place: Place,
) -> Result<(), Fault> {
    let head = upstream.answer();
    if !tunnel::was_asked_for(outbound.scan.upgrades, &outbound.limits.upgrades, &head.fields) {
        place.failed(&Fault::UnaskedUpgrade);
        // In this order: the connection is closed by the time somebody else gets the place.
        drop((upstream, place));
        return Err(Fault::UnaskedUpgrade);
    }
    place.served();
    exchange.answered(head, outbound.limits);
    head.fields.append("Connection", b"upgrade");
    exchange.respond(head, BodyLength::None, false);
    exchange.record.lasts(Lasting::Tunnel);
    place.lasts(exchange.one_client());
    let tunnel = place.endpoint().begin_tunnel();
    let (mut socket, read, connected) = upstream.into_socket();
    if let Err(fault) = tunnel::relay(exchange, (&mut socket, read), &place, outbound.pool).await {
        exchange.record.failed(fault.reason());
        if fault.keeps_place() {
            place.kept_by_client(exchange.one_client());
        }
    }
    let now = exchange.waits.now();
    exchange.record.worker_done(now);
    exchange.end();
    // In this order, as above.
    drop((socket, connected, tunnel, place));
    Ok(())
}

/// Whether server-sent events follow. They have no length: of others the field need not be looked for.
fn is_event_stream(head: &ResponseHead, length: BodyLength) -> bool {
    matches!(length, BodyLength::Chunked | BodyLength::UntilClose)
        && head.fields.first(Name::ContentType).is_some_and(fields::is_event_stream)
}

/// What a status tells of the endpoint.
///
/// 500, 502, 503 and 504 are failures of its own or of what is behind it; others of the class speak of the request (501, 505)
/// and of what is stored (507). Answers that are the same everywhere, a broken page say, take out half of a pool at most:
/// beyond that the panic threshold holds.
fn judge(place: &mut Place, status: StatusCode) {
    match status.as_u16() {
        500 | 502 | 503 | 504 => place.failed(&format_args!("status {}", status.as_u16())),
        _ => place.answered(),
    }
}

/// What keeps the client at this endpoint, where it does not say so already.
fn affinity_cookie(pool: &Pool, routing: &RoutingKey, place: &Place) -> Option<String> {
    let affinity = pool.affinity().filter(|affinity| routing.affinity != Some(affinity.tag(place.endpoint())))?;
    Some(affinity.set_cookie(place.endpoint()))
}

/// How long a connection may be kept: shorter than the worker itself says (`Keep-Alive: timeout=5`), so that it is not
/// closed just when a request is on its way. Not at all where the answer is the last on its connection.
fn keep_alive(said: &ConnectionTerms, is_last: bool, configured: Duration) -> Duration {
    match said.keep_alive {
        _ if is_last || said.close => Duration::ZERO,
        Some(seconds) => configured.min(Duration::from_secs(seconds.into()) / 2),
        None => configured,
    }
}
