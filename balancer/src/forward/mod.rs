//! Forwarding: one request, one or more attempts, one answer.
//!
//! Decides what goes to a worker and whether a failed attempt is followed by another. Called by `proxy` once a request;
//! calls `pool` for a place and opens or reuses a connection to it. Never chooses a pool or an endpoint itself.

mod admit;
mod attempt;
mod body;
mod error;
mod fields;
mod queued;
mod retry;
mod scan;
mod tunnel;
mod upstream;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::config::{AmbiguousFields, ClientLimits};
use crate::endpoint::EndpointId;
use crate::listen::Client;
use crate::observe::Record;
use crate::pool::{Place, Pool, Wish};
pub use admit::{Admitted, admit};
use attempt::Outbound;
use body::{Ahead, Lease, Limits, Relay, Upload};
pub use body::{RequestBody, ResponseBody};
pub use error::{Fault, Party};
pub use fields::{ClientFields, RequestFields, X_REQUEST_ID};
use fields::{Framing, Said};
use retry::may_retry;
pub use scan::Scan;
use tunnel::Tunnel;
use upstream::Upstream;
pub use upstream::Upstreams;

/// Forwards the requests of one thread.
#[derive(Debug)]
pub struct Forwarder {
    upstreams: Rc<Upstreams>,
    limits: ClientLimits,
    rng: RefCell<SmallRng>,
}

/// A request that may be forwarded. Its head stays as it came.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The head.
    pub head: &'a Parts,
    /// What its fields say.
    pub scan: &'a Scan<'a>,
    /// Where it goes.
    pub admitted: Admitted,
    /// The body, not read yet.
    pub body: Incoming,
    /// Who sent it.
    pub client: &'a Rc<Client>,
    /// What we say of the client.
    pub client_fields: &'a ClientFields,
    /// What we say of the request.
    pub own_fields: RequestFields,
}

impl Forwarder {
    /// A forwarder with no connections yet.
    pub fn new(limits: ClientLimits) -> Self {
        let rng = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
        Self { upstreams: Rc::default(), limits, rng }
    }

    /// The thread's upstream connections.
    pub fn upstreams(&self) -> &Rc<Upstreams> {
        &self.upstreams
    }

    /// Forwards a request to an endpoint of `pool`, and to another where that fails and it is safe.
    ///
    /// The record goes along with the body of the answer; with a fault it stays.
    ///
    /// # Errors
    /// What the client is to be told, when no endpoint has answered.
    pub async fn forward(
        &self,
        pool: &Arc<Pool>,
        inbound: Inbound<'_>,
        record: &mut Option<Box<Record>>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let Inbound { head, scan, admitted, body, client, client_fields, own_fields } = inbound;
        let ambiguous = self.limits.ambiguous_fields;
        if scan.ambiguous && ambiguous == AmbiguousFields::Refuse {
            return Err(Fault::AmbiguousField);
        }
        let (mut framing, upload) = self.frame(pool, scan, body, client)?;
        if let Some(upload) = &upload
            && pool.buffers().request > 0
        {
            // A slow client is waited for before an endpoint is.
            client.whole_until(pool.timeouts().request.map(|whole| client.begun() + whole));
            if let Some(length) = Box::pin(upload.hold(pool.buffers().request)).await? {
                framing = Framing::Length(length);
            }
        }
        let (admitted, own_fields) = (&admitted, &own_fields);
        let outbound =
            Outbound { pool, head, scan, admitted, client, client_fields, own_fields, upload, framing, ambiguous };
        let wish = Wish::of(pool, head, client.peer().ip());
        client.whole_until(pool.timeouts().request.map(|whole| client.begun() + whole));
        pool.count_request();
        let mut tried: Vec<EndpointId> = Vec::new();
        let mut turn = 0;
        loop {
            // Asked before each attempt: the last one may have been what killed a worker.
            if pool.refuses(&head.method, admitted.target.path()) {
                return Err(Fault::QueryOfDeath);
            }
            let mut place = if pool.has_slots() {
                // On the heap: what a request in a queue needs would be part of every request's state.
                Box::pin(queued::place(&outbound, pool, wish, &tried, turn, record)).await?
            } else {
                pool.claim(&wish, &tried, &mut *self.rng.borrow_mut()).ok_or(Fault::NoEndpoint)?.into()
            };
            // It may have waited while others of its kind killed workers.
            if pool.has_slots() && pool.refuses(&head.method, admitted.target.path()) {
                return Err(Fault::QueryOfDeath);
            }
            outbound.note(&mut place);
            if let Some(record) = record {
                record.claimed(place.endpoint().name());
            }
            let attempts = tried.len() as u32 + 1;
            let failed = match outbound.attempt(&mut place, &self.upstreams, attempts).await {
                Ok((response, upstream)) => return self.answer(outbound, &wish, response, place, upstream, record),
                Err(failed) => failed,
            };
            let endpoint = &**place.endpoint().name();
            tracing::debug!(pool = &**pool.name(), endpoint, fault = %failed.fault, "attempt failed");
            if failed.fault == Fault::ResponseTimeout && pool.hangs() && place.endpoint().report_hang() {
                return Err(Fault::WorkerHung);
            }
            // What never left cannot amplify an outage, so it draws on no budget.
            let within_budget = || !failed.sent || pool.may_retry(Instant::now());
            if !(may_retry(failed, &head.method, pool.attempts_max()) && within_budget()) {
                return Err(failed.fault);
            }
            if let Some(record) = record {
                record.retried(failed.fault.reason());
            }
            tried.push(place.endpoint().id());
            turn = place.turn();
        }
    }

    /// How the body goes on: framed by us, whatever the method (RFC 9112 §6).
    fn frame(
        &self,
        pool: &Pool,
        scan: &Scan<'_>,
        body: Incoming,
        client: &Rc<Client>,
    ) -> Result<(Framing, Option<Rc<Upload>>), Fault> {
        if body.is_end_stream() {
            return Ok((if scan.length { Framing::Length(0) } else { Framing::None }, None));
        }
        let framing = body.size_hint().exact().map_or(Framing::Chunked, Framing::Length);
        if matches!(framing, Framing::Length(length) if length > self.limits.body_bytes_max) {
            return Err(Fault::BodyTooLarge);
        }
        let limits = Limits {
            bytes_max: self.limits.body_bytes_max,
            rate_min: self.limits.body_rate_min,
            body_timeout: self.limits.body_timeout,
            idle_timeout: pool.timeouts().idle,
            response_timeout: pool.timeouts().response,
        };
        Ok((framing, Some(Upload::new(body, Rc::clone(client), limits))))
    }

    /// Makes the client's answer of a worker's.
    fn answer(
        &self,
        outbound: Outbound<'_>,
        wish: &Wish,
        mut response: Response<Incoming>,
        // Before the upstream connection, so that it outlives that: parameters are dropped in reverse.
        mut place: Place,
        upstream: Box<Upstream>,
        record: &mut Option<Box<Record>>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let Outbound { pool, client, upload, .. } = outbound;
        if let Some(upload) = &upload {
            upload.answered();
        }
        client.renew();
        pool.answered(&outbound.head.method, outbound.admitted.target.path());
        let one_message_only = response.version() == Version::HTTP_10;
        let said = fields::to_client(&mut response).inspect_err(|fault| place.failed(fault))?;
        judge(&mut place, response.status());
        if let Some(cookie) = affinity_cookie(pool, wish, &place) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if let Some(record) = record {
            record.answered(response.status());
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !outbound.scan.upgrade {
                place.failed(&Fault::UnaskedUpgrade);
                return Err(Fault::UnaskedUpgrade);
            }
            place.served();
            Tunnel::new(*upstream, place)?.join(client, record.take());
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = said.protocol {
                response.headers_mut().insert(header::UPGRADE, protocol);
            }
            return Ok(response.map(|_| ResponseBody::Empty));
        }
        let only_close_ends_it = outbound.head.version == Version::HTTP_10
            && !response.body().is_end_stream()
            && !response.headers().contains_key(header::CONTENT_LENGTH);
        if only_close_ends_it {
            client.reset_on_failure();
        }
        // An answer to a body that has not come to its end: what is left of it must not be taken for a request.
        if only_close_ends_it || upload.as_ref().is_some_and(|upload| !upload.ended()) {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        *response.version_mut() = Version::HTTP_11;
        let lease = Lease {
            place,
            upstream,
            upload,
            upstreams: Rc::clone(&self.upstreams),
            idle_max: pool.idle_connections_max(),
            // On a connection that has spoken HTTP/1.0 hyper would send the next request as 1.0 too, which has no chunks.
            keep_alive: if one_message_only { Duration::ZERO } else { keep_alive(&said, pool.timeouts().keep_alive) },
        };
        if response.body().is_end_stream() {
            lease.give_back();
            if let Some(record) = record {
                record.worker_done();
            }
            return Ok(response.map(|_| ResponseBody::Empty));
        }
        let (idle, client, record) = (pool.timeouts().idle, Rc::clone(client), record.take());
        let ahead = pool.buffers().response;
        Ok(response.map(|incoming| match ahead {
            0 => ResponseBody::Relay(Relay::new(incoming, client, idle, lease, record)),
            _ => ResponseBody::Ahead(Ahead::new(incoming, ahead, client, idle, lease, record)),
        }))
    }
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
fn affinity_cookie(pool: &Pool, wish: &Wish, place: &Place) -> Option<HeaderValue> {
    let affinity = pool.affinity().filter(|affinity| wish.affinity != Some(affinity.tag(place.endpoint())))?;
    affinity.set_cookie(place.endpoint())
}

/// How long a connection may be kept: shorter than the worker itself says (`Keep-Alive: timeout=5`), so that it is not
/// closed just when a request is on its way.
fn keep_alive(said: &Said, configured: Duration) -> Duration {
    match said.keep_alive {
        Some(seconds) => configured.min(Duration::from_secs(seconds.into()) / 2),
        None => configured,
    }
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");
