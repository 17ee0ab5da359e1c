//! Forwarding: one request, one or more attempts, one answer.
//!
//! Decides what goes to a worker and whether a failed attempt is followed by another. Called by `proxy` once a request;
//! calls `pool` for a place and opens or reuses a connection to it. Never chooses a pool or an endpoint itself.

mod admit;
mod body;
mod error;
mod fields;
mod retry;
mod tunnel;
mod upstream;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::config::{AmbiguousFields, ClientLimits};
use crate::endpoint::{EndpointId, InFlight};
use crate::listen::{Client, Wait};
use crate::observe::Record;
use crate::pool::{Pool, Wish};
pub use admit::{Admitted, admit};
use body::{Lease, Limits, Relay, Sending, Upload};
pub use body::{RequestBody, ResponseBody};
pub use error::{Fault, Party};
use fields::Framing;
pub use fields::{ClientFields, RequestFields, X_REQUEST_ID};
use retry::{Failed, may_retry};
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
    /// What was read off the head.
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

/// What stays the same over all attempts at a request.
struct Outbound<'a> {
    pool: &'a Pool,
    head: &'a Parts,
    admitted: &'a Admitted,
    client: &'a Rc<Client>,
    client_fields: &'a ClientFields,
    own_fields: &'a RequestFields,
    sending: Option<Sending>,
    framing: Framing,
    upgrade: bool,
    ambiguous: AmbiguousFields,
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
    /// The record goes along with the body of the answer; it comes back only with a fault.
    ///
    /// # Errors
    /// What the client is to be told, when no endpoint has answered.
    pub async fn forward(
        &self,
        pool: &Arc<Pool>,
        inbound: Inbound<'_>,
        record: &mut Option<Box<Record>>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let Inbound { head, admitted, body, client, client_fields, own_fields } = inbound;
        if self.limits.ambiguous_fields == AmbiguousFields::Refuse && fields::any_ambiguous(&head.headers) {
            return Err(Fault::AmbiguousField);
        }
        let (framing, sending) = self.frame(pool, head, body, client)?;
        let upgrade = fields::wants_upgrade(head) && sending.is_none();
        let outbound = Outbound {
            pool,
            head,
            admitted: &admitted,
            client,
            client_fields,
            own_fields: &own_fields,
            sending,
            framing,
            upgrade,
            ambiguous: self.limits.ambiguous_fields,
        };
        let wish = Wish::of(pool, head, client.peer().ip());
        client.whole_until(pool.timeouts().request.map(|whole| client.begun() + whole));
        pool.count_request();
        let mut tried: Vec<EndpointId> = Vec::new();
        loop {
            let place = pool.claim(&wish, &tried, &mut *self.rng.borrow_mut()).ok_or(Fault::NoEndpoint)?;
            if let Some(record) = record {
                record.claimed(place.endpoint().name());
            }
            let failed = match self.attempt(&outbound, &place, tried.len() as u32 + 1).await {
                Ok((response, upstream)) => {
                    return self.answer(outbound, &wish, response, upstream, place, record).await;
                }
                Err(failed) => failed,
            };
            tracing::debug!(pool = &**pool.name(), endpoint = &**place.endpoint().name(), fault = %failed.fault, "attempt failed");
            let again = may_retry(failed, &head.method, pool.attempts_max()) && pool.may_retry(Instant::now());
            if !again {
                return Err(failed.fault);
            }
            tried.push(place.endpoint().id());
        }
    }

    /// How the body goes on: framed by us, whatever the method (RFC 9112 §6).
    fn frame(
        &self,
        pool: &Pool,
        head: &Parts,
        body: Incoming,
        client: &Rc<Client>,
    ) -> Result<(Framing, Option<Sending>), Fault> {
        if body.is_end_stream() {
            let announced = head.headers.contains_key(header::CONTENT_LENGTH);
            return Ok((if announced { Framing::Length(0) } else { Framing::None }, None));
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
        Ok((framing, Some(Sending::new(Upload::new(body, Rc::clone(client), limits)))))
    }

    /// One try at one endpoint. A kept connection that turns out to be closed is replaced silently: it says nothing about
    /// the endpoint.
    async fn attempt(
        &self,
        outbound: &Outbound<'_>,
        place: &InFlight,
        attempts: u32,
    ) -> Result<(Response<Incoming>, Upstream), Failed> {
        let endpoint = place.endpoint();
        let timeouts = outbound.pool.timeouts();
        let mut kept = self.upstreams.check_out(endpoint.id(), Instant::now());
        loop {
            let mut upstream = match kept.take() {
                Some(upstream) => upstream,
                None => {
                    outbound.client.renew();
                    let opened = outbound.unless_late(upstream::open(endpoint, timeouts.connect)).await;
                    opened.unwrap_or_else(Err).map_err(|fault| Failed {
                        fault,
                        sent: false,
                        held: outbound.held(),
                        attempts,
                    })?
                }
            };
            let failed = match outbound.send(&mut upstream).await {
                Ok(response) => return Ok((response, upstream)),
                Err((fault, sent)) => Failed { fault, sent, held: outbound.held(), attempts },
            };
            let stale = upstream.reused && failed.fault == Fault::ClosedEarly;
            if !(stale && may_retry(Failed { attempts: 0, ..failed }, &outbound.head.method, 1)) {
                return Err(failed);
            }
        }
    }

    /// Makes the client's answer of a worker's.
    async fn answer(
        &self,
        outbound: Outbound<'_>,
        wish: &Wish,
        mut response: Response<Incoming>,
        upstream: Upstream,
        place: InFlight,
        record: &mut Option<Box<Record>>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let Outbound { pool, client, sending, .. } = outbound;
        if let Some(upload) = &sending {
            upload.answered();
        }
        client.renew();
        let keep_alive = keep_alive(&response, pool.timeouts().keep_alive);
        let protocol = response.headers().get(header::UPGRADE).cloned();
        fields::to_client(response.headers_mut());
        if let Some(affinity) = pool.affinity()
            && wish.affinity != Some(affinity.tag(place.endpoint()))
            && let Some(cookie) = affinity.set_cookie(place.endpoint())
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !outbound.upgrade {
                return Err(Fault::UnaskedUpgrade);
            }
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(|_| Fault::ClosedEarly)?;
            let tunnel = Tunnel::of(upgraded, place)?;
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = protocol {
                response.headers_mut().insert(header::UPGRADE, protocol);
            }
            if let Some(record) = record {
                record.answered(response.status());
            }
            tunnel.join(client, record.take());
            return Ok(response.map(|_| ResponseBody::Empty));
        }
        let only_close_ends_it = outbound.head.version == Version::HTTP_10
            && !response.body().is_end_stream()
            && !response.headers().contains_key(header::CONTENT_LENGTH);
        if only_close_ends_it {
            client.reset_on_failure();
        }
        // An answer to a body that has not come to its end: what is left of it must not be taken for a request.
        if only_close_ends_it || sending.as_ref().is_some_and(|upload| !upload.ended()) {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        *response.version_mut() = Version::HTTP_11;
        let lease = Lease {
            place,
            send: upstream.send,
            task: upstream.task,
            sending,
            upstreams: Rc::clone(&self.upstreams),
            idle_max: pool.idle_connections_max(),
            keep_alive,
        };
        if let Some(record) = record {
            record.answered(response.status());
        }
        if response.body().is_end_stream() {
            lease.give_back();
            if let Some(record) = record {
                record.worker_done();
            }
            return Ok(response.map(|_| ResponseBody::Empty));
        }
        let (idle, client, record) = (pool.timeouts().idle, Rc::clone(client), record.take());
        Ok(response.map(|incoming| ResponseBody::Relay(Relay::new(incoming, client, idle, lease, record))))
    }
}

impl Outbound<'_> {
    /// Sends the request and waits for the response's head. The error says too whether any of it may have been seen.
    async fn send(&self, upstream: &mut Upstream) -> Result<Response<Incoming>, (Fault, bool)> {
        let request = self.request();
        self.client.renew();
        let timeouts = self.pool.timeouts();
        let now = Instant::now();
        match &self.sending {
            None => self.client.wait(Wait::Response, now + timeouts.response),
            Some(upload) => {
                upload.carried_by(upstream.task.clone());
                self.client.wait(Wait::RequestTaken, now + timeouts.idle);
            }
        }
        match self.unless_late(upstream.send.try_send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => {
                let sent = error.take_message().is_none();
                Err((self.judge(error.error()), sent))
            }
            Err(fault) => Err((fault, true)),
        }
    }

    /// Waits until it is too late for what is waited for.
    async fn unless_late<T>(&self, future: impl Future<Output = T>) -> Result<T, Fault> {
        let mut future = pin!(future);
        let either = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.client.service_expired().map_or(Poll::Pending, |wait| Poll::Ready(Err(late(wait)))),
        });
        either.await
    }

    fn request(&self) -> Request<RequestBody> {
        let body = match &self.sending {
            Some(upload) => RequestBody::Upload(Rc::clone(upload)),
            None => RequestBody::Empty,
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.admitted.target.clone();
        *request.headers_mut() = fields::to_worker(
            self.head,
            &self.admitted.host,
            self.framing,
            self.upgrade,
            self.client_fields,
            self.own_fields,
            self.ambiguous,
        );
        if let Some(upload) = &self.sending
            && self.admitted.expects_continue
        {
            let asked = upload.wait_for_continue();
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    asked.notify_one();
                }
            });
        }
        request
    }

    /// Whether the request could be sent once more.
    fn held(&self) -> bool {
        self.sending.as_ref().is_none_or(|upload| !upload.taken())
    }

    fn judge(&self, error: &hyper::Error) -> Fault {
        if let Some(fault) = self.sending.as_ref().and_then(|upload| upload.fault()) {
            return fault;
        }
        if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
            tracing::debug!(%error, "the endpoint's answer cannot be read");
            return Fault::BadResponse;
        }
        Fault::ClosedEarly
    }
}

/// How long a connection may be kept: shorter than the worker itself says (`Keep-Alive: timeout=5`), so that it is not
/// closed just when a request is on its way.
fn keep_alive(response: &Response<Incoming>, configured: Duration) -> Duration {
    let field = response.headers().get("keep-alive").and_then(|value| value.to_str().ok());
    let mut parameters = field.into_iter().flat_map(|field| field.split(','));
    let seconds = parameters.find_map(|parameter| parameter.trim().strip_prefix("timeout=")?.parse::<u32>().ok());
    match seconds {
        Some(seconds) => configured.min(Duration::from_secs(seconds.into()) / 2),
        None => configured,
    }
}

fn late(wait: Wait) -> Fault {
    match wait {
        Wait::RequestBody => Fault::SlowBody,
        Wait::RequestTaken => Fault::RequestStalled,
        Wait::Response => Fault::ResponseTimeout,
        Wait::ResponseBody => Fault::IdleTimeout,
        Wait::Whole => Fault::RequestTimeout,
    }
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");
