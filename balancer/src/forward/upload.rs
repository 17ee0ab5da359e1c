//! A request body on its way from a client that may be slow to an endpoint that may not take it.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::body::{self, Body, UploadLimits};
use super::error::Fault;
use super::exchange::Exchange;
use super::gate::Gate;
use super::grpc;
use super::upstream::{Upstream, Written};
use super::waits::Wait;
use crate::http1::{BodyLength, trailer_section};
use crate::net::Buffer;
use crate::pool::Pressure;
use crate::spool::Spool;

/// How far a client's request body has got.
#[derive(Debug)]
pub(super) struct Upload {
    /// How the endpoint gets it framed.
    length: BodyLength,
    body: Body,
    limits: UploadLimits,
    /// A piece that an endpoint was to get and has not got, as it goes out.
    front: Buffer,
    gate: Gate,
    /// Whether an endpoint has got any of it, so that it cannot be sent again.
    taken: bool,
    answered: bool,
    /// Whether the last piece is on its way.
    handed: bool,
    /// Whether all of it has been written.
    ended: bool,
    /// What was on its way when the endpoint began to take nothing.
    stalled_at: Option<usize>,
}

impl Upload {
    /// Of a request whose body is framed so.
    ///
    /// # Errors
    /// [`Fault::BodyTooLarge`], where the length says so already.
    pub(super) fn new(length: BodyLength, of_client: body::BodyLimits, limits: UploadLimits) -> Result<Self, Fault> {
        if matches!(length, BodyLength::Known(length) if length > of_client.bytes_max) {
            return Err(Fault::BodyTooLarge);
        }
        let none = matches!(length, BodyLength::None | BodyLength::Known(0));
        Ok(Self {
            length,
            body: Body::new(of_client),
            limits,
            front: Buffer::default(),
            gate: Gate::Open,
            taken: false,
            answered: false,
            handed: none,
            ended: none,
            stalled_at: None,
        })
    }

    /// How the endpoint gets it framed (RFC 9112 §6): by us, whatever the method.
    pub(super) fn length(&self) -> BodyLength {
        self.length
    }

    /// Whether there is no body.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.length, BodyLength::None | BodyLength::Known(0)) && !self.body.is_whole()
    }

    /// Reads the body up to `bytes_max` and as far as it fits into a `spool`, so that a slow client keeps no endpoint waiting. One
    /// that is held whole and has no trailers has a length then.
    ///
    /// # Errors
    /// What is wrong with the body, or that its client is too slow.
    pub(super) async fn hold(
        &mut self,
        exchange: &mut Exchange<'_>,
        bytes_max: u64,
        spool: Option<&Spool>,
    ) -> Result<(), Fault> {
        self.body.hold(exchange, bytes_max, spool).await?;
        if let Some(length) = self.body.held().length() {
            self.length = BodyLength::Known(length);
        }
        Ok(())
    }

    /// Whether any of the body was read before an endpoint asked for it.
    pub(super) fn is_held(&self) -> bool {
        self.body.is_held()
    }

    /// Whether it may be silent for as long as its client likes, as a stream of gRPC: what is not sent before an answer came is not waited for.
    pub(super) fn may_be_silent(&self) -> bool {
        self.limits.idle_timeout >= grpc::SILENCE
    }

    /// Whether more of it is to come than is here.
    pub(super) fn streams(&self) -> bool {
        !self.ended && !self.body.is_whole()
    }

    /// Holds the body back until the worker has asked for it, or has said nothing for a while.
    pub(super) fn wait_for_continue(&mut self) {
        self.gate.hold_back();
    }

    /// The worker wants the body.
    pub(super) fn asked(&mut self, exchange: &mut Exchange<'_>) {
        if self.gate.open() {
            exchange.stream.go_on();
        }
    }

    /// An attempt begins: rewinds a body that is held whole, and notes what is waited for.
    pub(super) fn begins(&mut self, exchange: &mut Exchange<'_>) {
        let now = exchange.waits.now();
        self.stalled_at = None;
        if self.body.is_whole() {
            self.body.held().rewind();
            (self.handed, self.ended) = (false, false);
            self.front = Buffer::default();
        }
        match self.body.silent_since() {
            _ if self.ended => exchange.waits.wait(Wait::Response, now + self.limits.response_timeout),
            // The endpoint before this one has waited for the client already.
            Some(since) if !self.body.is_whole() => {
                exchange.waits.wait(Wait::RequestBody, self.body.late_at(since));
            }
            _ => exchange.waits.wait(Wait::RequestTaken, now + self.limits.idle_timeout),
        }
    }

    /// The attempt has failed. If no byte of the body was written, the piece at hand is kept for the next endpoint.
    pub(super) fn take_back(&mut self, upstream: &mut Upstream) {
        if upstream.written() < Written::Body {
            self.front = upstream.take_back();
        }
    }

    /// Whether an endpoint has got any of it, so that it cannot be sent again.
    pub(super) fn taken(&self) -> bool {
        self.taken
    }

    /// The endpoint has answered: from now on the response is what is waited for, and a body that the worker has not asked
    /// for stays where it is.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        self.body.held().let_go();
        self.gate.close();
    }

    /// Whether all of the body has been written.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the client's bytes are not asked for, so that nobody would see it leave.
    pub(super) fn ignores_client(&self) -> bool {
        self.handed || self.stalled_at.is_some() || !self.gate.is_open()
    }

    /// Writes head and body to the endpoint, as fast as it and the client allow.
    ///
    /// # Errors
    /// What is wrong with the body, that its client is too slow, or [`Fault::ClosedEarly`] when the endpoint takes nothing of the
    /// request.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..TURNS {
            let mut waits_for_client = false;
            // A piece that is here goes out together with the head.
            if (!self.handed || !self.front.is_empty()) && !upstream.has_piece() {
                match self.poll_next(cx, exchange, upstream.takes_frames()) {
                    Poll::Ready(Ok(piece)) => {
                        upstream.put(piece);
                        if self.handed && upstream.takes_frames() {
                            upstream.end(&self.body.trailers(exchange));
                        }
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => waits_for_client = true,
                }
            }
            let flushed = upstream.poll_flush(cx);
            self.taken |= upstream.written() == Written::Body && !self.body.is_whole();
            match flushed {
                Poll::Ready(Ok(())) => self.stalled_at = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::ClosedEarly)),
                Poll::Pending => {
                    self.stalls(exchange, upstream.unwritten());
                    return Poll::Pending;
                }
            }
            if self.handed {
                self.ends(exchange);
                return Poll::Ready(Ok(()));
            }
            if waits_for_client {
                self.goes_on_waiting(exchange);
                return Poll::Pending;
            }
        }
        exchange.waits.pause();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next piece, as it goes out; perhaps nothing.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        as_it_is: bool,
    ) -> Poll<Result<Buffer, Fault>> {
        if !self.front.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.front)));
        }
        if ready!(self.gate.poll(cx)) {
            exchange.stream.go_on();
        }
        let (piece, last) = ready!(self.body.poll_next(cx, exchange, !self.answered))?;
        self.handed |= last;
        if self.length != BodyLength::Chunked || as_it_is {
            return Poll::Ready(Ok(piece));
        }
        if !last {
            return Poll::Ready(Ok(piece.into_chunk(false)));
        }
        let trailers = self.body.trailers(exchange);
        if trailers.is_empty() {
            return Poll::Ready(Ok(piece.into_chunk(true)));
        }
        let mut end = piece.into_chunk(false).unread().to_vec();
        trailer_section(&mut end, &trailers);
        Poll::Ready(Ok(Buffer::copy_of(&end)))
    }

    /// The endpoint has taken what it had stalled, and the client is silent still.
    fn goes_on_waiting(&mut self, exchange: &mut Exchange<'_>) {
        if let Some(since) = self.body.silent_since()
            && !self.answered
            && exchange.waits.is(Wait::RequestTaken)
        {
            exchange.waits.wait(Wait::RequestBody, self.body.late_at(since));
        }
    }

    /// Whether the client is waited for.
    pub(super) fn waits_for_client(&self) -> bool {
        self.held_up_since().is_some()
    }

    /// Since when the client is waited for, if it is.
    pub(super) fn held_up_since(&self) -> Option<Instant> {
        self.body.silent_since().filter(|_| !self.ended)
    }

    /// Whether the client, which is waited for, keeps its endpoint from others who press for it.
    pub(super) fn is_too_slow(&mut self, now: Instant, pressure: Option<Pressure>) -> bool {
        self.body.is_too_slow(now, pressure)
    }

    /// The endpoint takes nothing, of so many bytes.
    fn stalls(&mut self, exchange: &mut Exchange<'_>, unwritten: usize) {
        if self.stalled_at != Some(unwritten) {
            self.stalled_at = Some(unwritten);
            if !self.answered {
                let now = exchange.waits.now();
                exchange.waits.wait(Wait::RequestTaken, now + self.limits.idle_timeout);
            }
        }
    }

    fn ends(&mut self, exchange: &mut Exchange<'_>) {
        let stalled = exchange.waits.is(Wait::RequestTaken);
        let first = !std::mem::replace(&mut self.ended, true);
        if (first || stalled) && !self.answered {
            let now = exchange.waits.now();
            exchange.waits.wait(Wait::Response, now + self.limits.response_timeout);
        }
    }
}

/// Pieces before others have their turn.
const TURNS: usize = 16;
