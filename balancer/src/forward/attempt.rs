//! One try at one endpoint.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};

use super::admit::Admitted;
use super::error::{Fault, Party};
use super::exchange::Exchange;
use super::fields::{self, ToWorker};
use super::retry::{Failed, may_retry};
use super::scan::Scan;
use super::unread::is_unexpected;
use super::upload::Upload;
use super::upstream::{Upstream, Upstreams, Written, learn, let_go_for_who_waits};
use super::waits::Wait;
use super::way::Way;
use crate::config::{ClientLimits, ProxyProtocol};
use crate::endpoint::{Endpoint, Noted};
use crate::http1::{BodyLength, RequestHead, ResponseHead};
use crate::net::{Client, Encryption};
use crate::pool::{Asked, Place, Pool};
use crate::proxy_protocol;

/// What stays the same over all attempts at a request.
pub(super) struct Outbound<'a> {
    pub(super) pool: &'a Pool,
    pub(super) head: &'a Arc<RequestHead>,
    pub(super) scan: Scan,
    pub(super) admitted: &'a Admitted<'a>,
    pub(super) limits: &'a ClientLimits,
    /// Whether an endpoint that was sent it has closed the connection without an answer.
    pub(super) unanswered: Cell<bool>,
}

impl Outbound<'_> {
    /// Sends the request to the endpoint of `place` and waits for the head of its response: how its body is framed, and the connection
    /// that has the rest. `attempts` counts this one too.
    ///
    /// A kept connection that turns out to be closed is replaced silently: it says nothing about the endpoint, but for how long
    /// it keeps connections.
    pub(super) async fn attempt(
        &self,
        exchange: &mut Exchange<'_>,
        upload: &mut Upload,
        place: &mut Place,
        upstreams: &Upstreams,
        attempts: u32,
    ) -> Result<(BodyLength, Box<Upstream>), Failed> {
        let endpoint = Arc::clone(place.endpoint());
        let (repeatable, now) = (upload.is_none() && self.head.method.is_idempotent(), exchange.waits.now());
        let mut kept = match place.check_out(repeatable, now) {
            Some((socket, connected, idle)) => Some((Upstream::over(socket, connected), idle)),
            None if place.owns_connection() => None,
            None => upstreams.check_out(&endpoint, repeatable, now),
        };
        let mut cut = false;
        loop {
            let idle = kept.as_ref().map(|(_, idle)| *idle);
            let mut upstream = match kept.take() {
                Some((upstream, _)) => upstream,
                None => {
                    exchange.waits.over();
                    // On the heap: opening is rare, and its state would be part of every request's.
                    let how = (self.pool.timeouts().connect, self.encryption(exchange, place.endpoint()));
                    let is_encrypted = how.1.is_some();
                    let mut opening = Box::pin(upstreams.open(&endpoint, how, self.way(upload)));
                    let opened = poll_fn(|cx| match opening.as_mut().poll(cx) {
                        Poll::Ready(opened) => Poll::Ready(opened),
                        Poll::Pending => wait_without_reading(cx, exchange).map(Err),
                    });
                    let held = !upload.taken();
                    let failed = |fault| Failed { fault, sent: false, held, cut, attempts };
                    let opened = opened.await.map_err(failed);
                    let mut upstream = opened.inspect_err(|failed| blame(place, failed, upload))?;
                    if !is_encrypted {
                        self.announce(exchange, upstream.begin());
                    }
                    upstream
                }
            };
            let failed = match self.send(exchange, upload, &mut upstream, place).await {
                Ok(length) => {
                    if let Some(idle) = idle {
                        endpoint.idle_time().reused(idle);
                    }
                    return Ok((length, upstream));
                }
                Err(fault) => {
                    upload.take_back(&mut upstream);
                    let sent = upstream.written() > Written::Nothing;
                    cut |= fault == Fault::ClosedEarly && sent && endpoint.is_of_worker();
                    Failed { fault, sent, held: !upload.taken(), cut, attempts }
                }
            };
            if failed.fault == Fault::ClosedEarly && failed.sent {
                self.unanswered.set(true);
                place.cut();
            }
            let stale = idle.is_some() && failed.fault == Fault::ClosedEarly;
            match failed.sent {
                _ if !stale && upstream.is_first_to_tell() => blame(place, &failed, upload),
                // It was closed while nobody used it; otherwise the request may be the reason.
                false if stale => learn(&endpoint, &upstream),
                _ => {}
            }
            if !(stale && may_retry(Failed { attempts: 0, ..failed }, &self.head.method, 1, false)) {
                return Err(failed);
            }
        }
    }

    /// On what kind of connection it goes.
    fn way(&self, upload: &Upload) -> Way {
        if !self.pool.speaks_http2() {
            return Way::Http1;
        }
        Way::in_http2(self.head, self.admitted, self.unanswered.get(), !upload.is_none())
    }

    /// How a new connection is encrypted; who its client is stands in front of the handshake.
    fn encryption(&self, exchange: &Exchange<'_>, endpoint: &Endpoint) -> Encryption {
        let encryption = self.pool.encryption(endpoint);
        if !encryption.is_some() {
            return encryption;
        }
        let mut announced = Vec::new();
        self.announce(exchange, &mut announced);
        encryption.announced(announced)
    }

    /// Has a new connection begin with who its client is, where the endpoint wants to be told.
    fn announce(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        let Some(version) = self.pool.proxy_protocol() else { return };
        let ends = exchange.stream.peer().address().zip(exchange.stream.here());
        match version {
            ProxyProtocol::V1 => proxy_protocol::write_v1(out, ends),
            ProxyProtocol::V2 => proxy_protocol::write_v2(out, ends),
        }
    }

    /// What is asked, and by whom.
    pub(super) fn asked(&self, exchange: &Exchange<'_>) -> Asked<'_> {
        Asked {
            method: &self.head.method,
            path: self.admitted.path(),
            client: exchange.record.client().map(Client::of),
        }
    }

    /// Puts the request down where it goes, for the case that its worker dies of it.
    pub(super) fn note(&self, exchange: &mut Exchange<'_>, place: &mut Place) {
        let (begun, given, client) = (exchange.stream.begun(), exchange.waits.now(), exchange.record.client());
        place.note(|| Noted { head: Arc::clone(self.head), id: *exchange.own.id(), client, begun, given });
    }

    /// Sends the request and waits for the head of the answer, whichever comes first.
    async fn send(
        &self,
        exchange: &mut Exchange<'_>,
        upload: &mut Upload,
        upstream: &mut Upstream,
        place: &Place,
    ) -> Result<BodyLength, Fault> {
        if self.scan.expects_continue && !upload.is_held() && !upload.is_none() {
            upload.wait_for_continue();
        }
        fields::to_worker(
            upstream.begin(),
            self.head,
            &self.scan,
            &ToWorker {
                target: &self.admitted.target,
                host: self.admitted.host,
                length: upload.length(),
                client: exchange.client,
                own: &exchange.own,
                limits: self.limits,
                // Else the client has been told to go on already.
                expects_continue: self.scan.expects_continue && !upload.is_held(),
                is_last: is_unexpected(&self.head.method, upload.length()),
            },
        );
        upload.begins(exchange);
        poll_fn(|cx| self.poll_send(cx, exchange, upload, upstream, place)).await?;
        let length = upstream.length(self.head.method == Method::HEAD)?;
        upstream.expect_body(length);
        Ok(length)
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        upload: &mut Upload,
        upstream: &mut Upstream,
        place: &Place,
    ) -> Poll<Result<(), Fault>> {
        loop {
            if (!upload.ended() || upstream.unwritten() > 0)
                && let Poll::Ready(Err(fault)) = upload.poll(cx, exchange, upstream)
            {
                return Poll::Ready(Err(fault));
            }
            match upstream.poll_head(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(status)) if is_final(status) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => self.pass_interim(exchange, upload, upstream.answer()),
            }
        }
        // Interim responses, which a client may take slowly.
        if matches!(exchange.stream.poll_flush(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        wait(cx, exchange, upload, (upstream, place, self.pool)).map(Err)
    }

    /// 100 lets the client send its body. 103 is passed on to browsers that load a page; other clients take it for the final answer.
    /// All other interim responses are dropped.
    fn pass_interim(&self, exchange: &mut Exchange<'_>, upload: &mut Upload, interim: &mut ResponseHead) {
        match interim.status {
            StatusCode::CONTINUE => upload.asked(exchange),
            status if status.as_u16() == EARLY_HINTS && self.scan.navigates => {
                fields::to_client(interim, BodyLength::None);
                exchange.stream.interim(interim);
            }
            _ => {}
        }
    }
}

/// Looks whether the client has left, whether it is too late for what is waited for, and whether the client keeps others from the
/// place for too long.
fn wait(
    cx: &mut Context<'_>,
    exchange: &mut Exchange<'_>,
    upload: &mut Upload,
    (upstream, place, pool): (&Upstream, &Place, &Pool),
) -> Poll<Fault> {
    place.held_up_since(upload.held_up_since());
    if upload.may_be_silent() && upload.waits_for_client() {
        return super::tunnel::wait_for_grpc(exchange, pool, place);
    }
    if upload.ignores_client() {
        let may_starve = upload.ended() && upstream.is_unanswered() && !place.owns_connection();
        exchange.waits.look_every(may_starve.then_some(STARVES));
        let fault = wait_without_reading(cx, exchange);
        if let Some(now) = exchange.waits.looks().filter(|_| may_starve) {
            let_go_for_who_waits(place.endpoint(), now);
        }
        return fault;
    }
    let keeps_others = upload.waits_for_client() && place.owns_connection();
    exchange.waits.look_every(keeps_others.then_some(Duration::ZERO));
    let late = late(exchange);
    match exchange.waits.looks() {
        Some(now) if late.is_pending() && upload.is_too_slow(now, place.pressure(now)) => Poll::Ready(Fault::SlowBody),
        _ => late,
    }
}

/// The same while nobody reads of the client, whatever it sends.
pub(super) fn wait_without_reading(cx: &mut Context<'_>, exchange: &mut Exchange<'_>) -> Poll<Fault> {
    match exchange.stream.poll_gone(cx) {
        Poll::Ready(()) => Poll::Ready(Fault::ClientGone),
        Poll::Pending => late(exchange),
    }
}

fn late(exchange: &mut Exchange<'_>) -> Poll<Fault> {
    exchange.waits.late().map_or(Poll::Pending, |wait: Wait| Poll::Ready(Fault::late(wait)))
}

/// Tells the endpoint of its failure. `RequestTimeout` counts against it only at the first attempt and once the whole body was sent.
fn blame(place: &mut Place, failed: &Failed, upload: &Upload) {
    let had_all = failed.attempts == 1 && upload.ended();
    match failed.fault {
        Fault::ConnectFailed | Fault::CertificateRefused | Fault::HandshakeFailed => place.unreachable(&failed.fault),
        Fault::ConnectTimeout => place.unheard(&failed.fault),
        Fault::RequestTimeout if !had_all => {}
        fault if fault.party() != Party::Endpoint => {}
        // Its client may have used up the time with its head.
        fault if failed.sent || fault == Fault::RequestTimeout => place.failed(&fault),
        fault => place.failed_alone(&fault),
    }
}

fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

/// A request that has got no byte of an answer on a new connection by then may wait for an idle one to be closed.
const STARVES: Duration = Duration::from_millis(500);
/// RFC 8297.
const EARLY_HINTS: u16 = 103;
