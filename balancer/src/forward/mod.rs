//! Forwarding: one request, one or more attempts, one answer.
//!
//! Decides what goes to a worker and whether a failed attempt is followed by another. Called by `proxy` once a request;
//! calls `pool` for a place and opens or reuses a connection to it. Never chooses a pool or an endpoint itself.

mod admit;
mod answer;
mod attempt;
mod body;
mod chosen;
mod client;
mod error;
mod exchange;
mod expecting;
mod fields;
mod gate;
mod grpc;
mod held;
mod here;
mod pace;
mod queued;
mod relay;
mod retry;
mod scan;
mod taking;
mod trailers;
mod tunnel;
mod unread;
mod upload;
mod upstream;
mod waits;
mod way;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::config::{AmbiguousFields, ClientLimits};
use crate::endpoint::EndpointId;
use crate::http1::RequestHead;
use crate::pool::{Place, Pool, RoutingKey};
use crate::spool::Spool;
pub use admit::{Admitted, admit};
use attempt::Outbound;
use chosen::Choices;
pub use client::client_behind;
pub use error::{Fault, Party};
pub use exchange::Exchange;
pub use fields::{ClientFields, X_REQUEST_ID};
pub use here::Here;
use retry::{Failed, may_retry};
pub use scan::Scan;
use upload::Upload;
pub use upstream::Upstreams;

/// Forwards the requests of one thread.
#[derive(Debug)]
pub struct Forwarder {
    upstreams: Rc<Upstreams>,
    limits: RefCell<Rc<ClientLimits>>,
    spool: RefCell<Option<Spool>>,
    rng: RefCell<SmallRng>,
    choices: Choices,
}

impl Forwarder {
    /// A forwarder with no connections yet; bodies that are too large to be held in memory wait in `spool`.
    pub fn new(limits: ClientLimits, spool: Option<Spool>) -> Self {
        let rng = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
        let (limits, spool) = (RefCell::new(Rc::new(limits)), RefCell::new(spool));
        Self { upstreams: Rc::default(), limits, spool, rng, choices: Choices::default() }
    }

    /// What a client may take from the next request on, and where its body waits.
    pub fn configure(&self, limits: ClientLimits, spool: Option<Spool>) {
        self.limits.replace(Rc::new(limits));
        self.spool.replace(spool);
    }

    /// The limits of clients.
    pub fn limits(&self) -> Rc<ClientLimits> {
        Rc::clone(&self.limits.borrow())
    }

    /// The thread's upstream connections.
    pub fn upstreams(&self) -> &Rc<Upstreams> {
        &self.upstreams
    }

    /// Forwards a request to an endpoint of `pool`, and to another where that fails and it is safe; passes the answer on, to its
    /// end.
    ///
    /// # Errors
    /// What the client is to be told, when no endpoint has answered.
    pub async fn forward(
        &self,
        pool: &Arc<Pool>,
        exchange: &mut Exchange<'_>,
        scan: Scan,
        admitted: &Admitted<'_>,
    ) -> Result<(), Fault> {
        let (head, limits) = (Arc::clone(&exchange.head), self.limits());
        let outbound = Outbound { pool, head: &head, scan, admitted, limits: &limits, unanswered: Cell::new(false) };
        let mut upload = begin(&outbound, exchange)?;
        if !upload.is_none() && pool.buffers().request > 0 && !upload.may_be_silent() {
            // On the heap: most requests have no body.
            Box::pin(self.hold(&outbound, exchange, &mut upload)).await?;
        }
        let routing = pool.routing_key(&admitted.target, &head.fields, exchange.record.client());
        pool.count_request(routing.client, exchange.waits.now());
        self.choices.note(pool, exchange);
        let (mut tried, mut cut): (Vec<EndpointId>, Vec<EndpointId>) = Default::default();
        let (mut turn, mut awaited) = (0, false);
        loop {
            // Asked before each attempt: the last one may have been what killed a worker.
            refuse_deadly(&outbound, exchange)?;
            let claimed =
                if pool.has_slots() { None } else { pool.claim(&routing, &tried, &mut *self.rng.borrow_mut()) };
            let mut place = match claimed {
                Some(place) => place.into(),
                // On the heap: what a request that waits needs would be part of every request's state.
                None => {
                    Box::pin(self.waited_for((pool, &outbound), exchange, routing, (&tried, turn), upload.streams()))
                        .await?
                }
            };
            outbound.note(exchange, &mut place);
            chosen::claimed(pool, &routing, place.endpoint(), exchange);
            let attempts = tried.len() as u32 + 1;
            let failed = match outbound.attempt(exchange, &mut upload, &mut place, &self.upstreams, attempts).await {
                Ok((length, upstream)) => {
                    let answered = (length, place, upstream);
                    return answer::pass_on(&self.upstreams, &outbound, exchange, &mut upload, &routing, answered)
                        .await;
                }
                Err(failed) => failed,
            };
            if failed.fault.keeps_place() {
                place.kept_by_client(exchange.one_client());
            }
            let endpoint = place.endpoint().id();
            cut.extend(failed.cut.then_some(endpoint));
            let is_refusal = failed.fault == Fault::ConnectFailed && !failed.sent && failed.held;
            if is_refusal && !awaited && pool.may_await_another(place.endpoint(), &tried) {
                // Once: it is noticed soon that the worker is gone, and then the next one is waited for as where there is none.
                exchange.record.retried(failed.fault.reason(), Instant::now());
                drop(place);
                Box::pin(pool.until_gone(endpoint)).await;
                awaited = true;
                tried.clear();
                continue;
            }
            if let Err(fault) = Self::go_on_after(failed, &outbound, exchange, &place, (&tried, &cut)) {
                drop(place);
                if failed.cut {
                    Box::pin(pool.until_known(endpoint, &outbound.asked(exchange))).await;
                }
                return Err(fault);
            }
            tried.push(endpoint);
            turn = place.turn();
        }
    }

    /// A place for a request that may have to wait for it: in the queue, or without slots until an endpoint takes requests.
    ///
    /// # Errors
    /// Why there is none, or that others of its kind have killed workers meanwhile.
    async fn waited_for(
        &self,
        (pool, outbound): (&Arc<Pool>, &Outbound<'_>),
        exchange: &mut Exchange<'_>,
        routing: RoutingKey,
        (tried, turn): (&[EndpointId], u64),
        streams: bool,
    ) -> Result<Place, Fault> {
        let place = if pool.has_slots() {
            queued::place(outbound, pool, exchange, routing, (tried, turn), streams).await?
        } else {
            let claim = || pool.claim(&routing, tried, &mut *self.rng.borrow_mut());
            expecting::place(pool, exchange, claim).await?.into()
        };
        refuse_deadly(outbound, exchange)?;
        Ok(place)
    }

    /// Holds the body of a request: a slow client is waited for before an endpoint is.
    ///
    /// # Errors
    /// What the client is to be told, when its body does not come as it should.
    async fn hold(
        &self,
        outbound: &Outbound<'_>,
        exchange: &mut Exchange<'_>,
        upload: &mut Upload,
    ) -> Result<(), Fault> {
        if outbound.scan.expects_continue && !exchange.stream.has_read_ahead() {
            exchange.stream.go_on();
        }
        let spool = self.spool.borrow().clone();
        upload.hold(exchange, outbound.pool.buffers().request, spool.as_ref()).await
    }

    /// Tells of a failed attempt, and that another follows it. `tried` were asked before, `cut` are the
    /// workers that have cut the request off.
    ///
    /// # Errors
    /// What the client is to be told, where none does.
    fn go_on_after(
        failed: Failed,
        outbound: &Outbound<'_>,
        exchange: &mut Exchange<'_>,
        place: &Place,
        (tried, cut): (&[EndpointId], &[EndpointId]),
    ) -> Result<(), Fault> {
        let (pool, endpoint) = (outbound.pool, place.endpoint());
        let name = &**endpoint.name();
        tracing::debug!(pool = &**pool.name(), endpoint = name, fault = %failed.fault, "attempt failed");
        let hung = || pool.counts_as_hang(&outbound.asked(exchange), Instant::now()) && endpoint.report_hang();
        if failed.fault == Fault::ResponseTimeout && hung() {
            return Err(Fault::WorkerHung);
        }
        if failed.fault == Fault::TooManyFields {
            tracing::warn!(
                pool = &**pool.name(),
                endpoint = name,
                "an answer has more than 1,024 fields, which is our limit"
            );
        }
        // What never left cannot amplify an outage, so it draws on no budget.
        let within_budget = || !failed.sent || pool.may_retry(Instant::now());
        let others = pool.has_other_than(tried, endpoint.id());
        let may = may_retry(failed, &outbound.head.method, pool.attempts_max(), others);
        if !(may && pool.may_repeat(&outbound.asked(exchange), cut) && within_budget()) {
            return Err(failed.fault);
        }
        exchange.record.retried(failed.fault.reason(), Instant::now());
        Ok(())
    }
}

/// Keeps what workers die of from them.
///
/// # Errors
/// When requests like this have killed too many.
fn refuse_deadly(outbound: &Outbound<'_>, exchange: &Exchange<'_>) -> Result<(), Fault> {
    let refused = outbound.pool.refuses(&outbound.asked(exchange));
    refused.map_or(Ok(()), |seconds| Err(Fault::QueryOfDeath(seconds)))
}

/// The body of a request that is to be forwarded, and until when all of it must be answered.
///
/// # Errors
/// When the request is none that goes on.
fn begin(outbound: &Outbound<'_>, exchange: &mut Exchange<'_>) -> Result<Upload, Fault> {
    if outbound.scan.ambiguous && outbound.limits.ambiguous_fields == AmbiguousFields::Refuse {
        return Err(Fault::AmbiguousField);
    }
    if outbound.pool.speaks_http2() {
        upstream::fits_frames(outbound.admitted.host, &outbound.admitted.target)?;
    }
    let upload = upload_of(outbound.pool, outbound.head, outbound.limits)?;
    let whole_until = outbound.pool.timeouts().request.map(|whole| exchange.stream.begun() + whole);
    exchange.waits.whole_until(whole_until);
    Ok(upload)
}

fn upload_of(pool: &Pool, head: &RequestHead, limits: &ClientLimits) -> Result<Upload, Fault> {
    let mut of_client = body::BodyLimits {
        bytes_max: limits.body_bytes_max,
        rate_min: limits.body_rate_min,
        timeout: limits.body_timeout,
    };
    let timeouts = pool.timeouts();
    let mut of_endpoint = body::UploadLimits { idle_timeout: timeouts.idle, response_timeout: timeouts.response };
    if grpc::is_one(head, pool) {
        (of_client.rate_min, of_client.timeout, of_endpoint.idle_timeout) = (0, grpc::SILENCE, grpc::SILENCE);
    }
    Upload::new(head.length, of_client, of_endpoint)
}
