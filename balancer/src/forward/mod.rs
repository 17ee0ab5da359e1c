//! Forwarding: one request, one or more attempts, one answer.
//!
//! Decides what goes to a worker and whether a failed attempt is followed by another. Called by `proxy` once a request;
//! calls `pool` for a place and opens or reuses a connection to it. Never chooses a pool or an endpoint itself.

mod admit;
mod body;
mod error;
mod fields;
mod retry;
mod scan;
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
use body::{Lease, Limits, Relay, Upload};
pub use body::{RequestBody, ResponseBody};
pub use error::{Fault, Party};
pub use fields::{ClientFields, RequestFields, X_REQUEST_ID};
use fields::{Framing, Said};
use retry::{Failed, may_retry};
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

/// What stays the same over all attempts at a request.
struct Outbound<'a> {
    pool: &'a Pool,
    head: &'a Parts,
    scan: &'a Scan<'a>,
    admitted: &'a Admitted,
    client: &'a Rc<Client>,
    client_fields: &'a ClientFields,
    own_fields: &'a RequestFields,
    upload: Option<Rc<Upload>>,
    framing: Framing,
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
        let Inbound { head, scan, admitted, body, client, client_fields, own_fields } = inbound;
        let (framing, upload) = self.frame(pool, scan, body, client)?;
        let outbound = Outbound {
            pool,
            head,
            scan,
            admitted: &admitted,
            client,
            client_fields,
            own_fields: &own_fields,
            upload,
            framing,
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
                None => upstream::open(endpoint, timeouts.connect).await.map_err(|fault| Failed {
                    fault,
                    sent: false,
                    held: outbound.held(),
                    attempts,
                })?,
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
        let Outbound { pool, client, .. } = outbound;
        if let Some(upload) = &outbound.upload {
            upload.answered();
        }
        client.renew();
        let said = fields::to_client(response.headers_mut());
        if let Some(affinity) = pool.affinity()
            && wish.affinity != Some(affinity.tag(place.endpoint()))
            && let Some(cookie) = affinity.set_cookie(place.endpoint())
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !outbound.scan.upgrade {
                return Err(Fault::UnaskedUpgrade);
            }
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(|_| Fault::ClosedEarly)?;
            let tunnel = Tunnel::of(upgraded, place)?;
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = said.protocol {
                response.headers_mut().insert(header::UPGRADE, protocol);
            }
            if let Some(record) = record {
                record.answered(response.status());
            }
            tunnel.join(client, record.take());
            return Ok(response.map(|_| ResponseBody::Empty));
        }
        if outbound.head.version == Version::HTTP_10 && !response.headers().contains_key(header::CONTENT_LENGTH) {
            client.reset_on_failure();
        }
        *response.version_mut() = Version::HTTP_11;
        let lease = Lease {
            place,
            send: upstream.send,
            upstreams: Rc::clone(&self.upstreams),
            idle_max: pool.idle_connections_max(),
            keep_alive: keep_alive(&said, pool.timeouts().keep_alive),
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
        let request = self.request().map_err(|fault| (fault, false))?;
        self.client.renew();
        let timeouts = self.pool.timeouts();
        let now = Instant::now();
        match &self.upload {
            None => self.client.wait(Wait::Response, now + timeouts.response),
            Some(_) => self.client.wait(Wait::RequestTaken, now + timeouts.idle),
        }
        let mut sending = pin!(upstream.send.try_send_request(request));
        let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => self.client.service_expired().map_or(Poll::Pending, |wait| Poll::Ready(Err(wait))),
        });
        match sent.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => {
                let sent = error.take_message().is_none();
                Err((self.judge(error.error()), sent))
            }
            Err(wait) => Err((late(wait), true)),
        }
    }

    fn request(&self) -> Result<Request<RequestBody>, Fault> {
        let body = match &self.upload {
            Some(upload) => RequestBody::Upload(Rc::clone(upload)),
            None => RequestBody::Empty,
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.admitted.target.clone();
        *request.headers_mut() = fields::to_worker(
            self.head,
            self.scan,
            &self.admitted.host,
            self.framing,
            self.client_fields,
            self.own_fields,
            self.ambiguous,
        )?;
        if let Some(upload) = &self.upload
            && self.scan.expects_continue
        {
            let asked = upload.wait_for_continue();
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    asked.notify_one();
                }
            });
        }
        Ok(request)
    }

    /// Whether the request could be sent once more.
    fn held(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| !upload.taken())
    }

    fn judge(&self, error: &hyper::Error) -> Fault {
        if let Some(fault) = self.upload.as_ref().and_then(|upload| upload.fault()) {
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
fn keep_alive(said: &Said, configured: Duration) -> Duration {
    match said.keep_alive {
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
