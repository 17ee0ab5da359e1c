//! A request body between a client that may be slow and an endpoint that may not take it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::error::Fault;
use super::exchange::{Exchange, Wait};
use super::held::Held;
use super::trailers::keep_allowed;
use super::upstream::{Upstream, Written};
use crate::http1::{BodyLength, Fields, trailer_section};
use crate::listen::BodyError;
use crate::net::Buffer;

/// How far a client's request body has got.
#[derive(Debug)]
pub(super) struct Upload {
    /// How the endpoint gets it framed.
    length: BodyLength,
    limits: Limits,
    held: Held,
    /// A piece that an endpoint was to get and has not got, as it goes out.
    front: Buffer,
    gate: Gate,
    bytes: u64,
    /// Whether an endpoint has got any of it, so that it cannot be sent again.
    taken: bool,
    answered: bool,
    /// Whether the last piece is on its way.
    handed: bool,
    /// Whether all of it has been written.
    ended: bool,
    /// What was on its way when the endpoint began to take nothing.
    stalled_at: Option<usize>,
    silent_since: Option<Instant>,
    silent: Duration,
}

/// Whether the client may send its body.
#[derive(Debug)]
enum Gate {
    Open,
    /// Until the worker asks for it with a 100, or has said nothing for a while (RFC 9110 §10.1.1: a client must not wait for ever,
    /// for there are workers that do not know the expectation).
    Waiting(Pin<Box<Sleep>>),
    /// The worker has answered without it.
    Closed,
}

/// What a request body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes in all.
    pub(super) bytes_max: u64,
    /// Bytes a second after ten seconds of waiting for the client; 0: no floor.
    pub(super) rate_min: u64,
    /// Silence of the client.
    pub(super) body_timeout: Duration,
    /// Silence of an endpoint that takes nothing.
    pub(super) idle_timeout: Duration,
    /// From the end of the body to the response.
    pub(super) response_timeout: Duration,
}

impl Upload {
    /// Of a request whose body is framed so.
    ///
    /// # Errors
    /// [`Fault::BodyTooLarge`], where the length says so already.
    pub(super) fn new(length: BodyLength, limits: Limits) -> Result<Self, Fault> {
        if matches!(length, BodyLength::Known(length) if length > limits.bytes_max) {
            return Err(Fault::BodyTooLarge);
        }
        let none = matches!(length, BodyLength::None | BodyLength::Known(0));
        Ok(Self {
            length,
            limits,
            held: Held::new(),
            front: Buffer::default(),
            gate: Gate::Open,
            bytes: 0,
            taken: false,
            answered: false,
            handed: none,
            ended: none,
            stalled_at: None,
            silent_since: None,
            silent: Duration::ZERO,
        })
    }

    /// How the endpoint gets it framed (RFC 9112 §6): by us, whatever the method.
    pub(super) fn length(&self) -> BodyLength {
        self.length
    }

    /// Whether there is no body.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.length, BodyLength::None | BodyLength::Known(0)) && !self.held.is_whole()
    }

    /// Reads up to `bytes_max` of the body, so that a slow client keeps no endpoint waiting. A body that is held whole and has no
    /// trailers has a length then.
    ///
    /// # Errors
    /// What is wrong with the body, or that its client is too slow.
    pub(super) async fn hold(&mut self, exchange: &mut Exchange<'_>, bytes_max: u64) -> Result<(), Fault> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        poll_fn(|cx| {
            // Where the client is to be told to go on.
            if matches!(exchange.stream.poll_flush(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Err(Fault::ClientGone));
            }
            while self.held.has_room(bytes_max) {
                match self.poll_client(cx, exchange) {
                    Poll::Ready(Ok(Some(piece))) => self.held.push(piece),
                    Poll::Ready(Ok(None)) => {}
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => {
                        let late = exchange.waits.late().map(Fault::late);
                        return late.map_or(Poll::Pending, |fault| Poll::Ready(Err(fault)));
                    }
                }
                if exchange.stream.body_is_done() {
                    let trailers = allowed(exchange.stream.take_trailers());
                    self.held.complete(trailers);
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        exchange.waits.over();
        if let Some(length) = self.held.length() {
            self.length = BodyLength::Known(length);
        }
        Ok(())
    }

    /// Whether any of the body was read before an endpoint asked for it.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_whole() || !self.held.is_at_end()
    }

    /// Holds the body back until the worker has asked for it, or has said nothing for a while.
    pub(super) fn wait_for_continue(&mut self) {
        if matches!(self.gate, Gate::Open) {
            self.gate = Gate::Waiting(Box::pin(sleep(CONTINUE_PATIENCE)));
        }
    }

    /// The worker wants the body.
    pub(super) fn asked(&mut self, exchange: &mut Exchange<'_>) {
        if matches!(self.gate, Gate::Waiting(_)) {
            self.gate = Gate::Open;
            exchange.stream.go_on();
        }
    }

    /// An attempt begins: rewinds a body that is held whole, and notes what is waited for.
    pub(super) fn begins(&mut self, exchange: &mut Exchange<'_>) {
        let now = exchange.waits.now();
        self.stalled_at = None;
        if self.held.is_whole() {
            self.held.rewind();
            (self.handed, self.ended) = (false, false);
            self.front = Buffer::default();
        }
        match self.silent_since {
            _ if self.ended => exchange.waits.wait(Wait::Response, now + self.limits.response_timeout),
            // The endpoint before this one has waited for the client already.
            Some(since) if !self.held.is_whole() => {
                exchange.waits.wait(Wait::RequestBody, since + self.limits.body_timeout);
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
        self.held.let_go();
        if matches!(self.gate, Gate::Waiting(_)) {
            self.gate = Gate::Closed;
        }
    }

    /// Whether all of the body has been written.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the client's bytes are not asked for, so that nobody would see it leave.
    pub(super) fn ignores_client(&self) -> bool {
        self.handed || self.stalled_at.is_some() || !matches!(self.gate, Gate::Open)
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
                match self.poll_next(cx, exchange) {
                    Poll::Ready(Ok(piece)) => upstream.put(piece),
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => waits_for_client = true,
                }
            }
            let flushed = upstream.poll_flush(cx);
            self.taken |= upstream.written() == Written::Body && !self.held.is_whole();
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
    fn poll_next(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange<'_>) -> Poll<Result<Buffer, Fault>> {
        if !self.front.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.front)));
        }
        ready!(self.poll_gate(cx, exchange));
        let (piece, whole) = (self.held.next(), self.held.is_whole());
        let piece = match piece {
            None if !whole => ready!(self.poll_client(cx, exchange))?,
            piece => piece,
        };
        let last = if whole { self.held.is_at_end() } else { self.held.is_at_end() && exchange.stream.body_is_done() };
        self.handed |= last;
        let piece = piece.unwrap_or_default();
        if self.length != BodyLength::Chunked {
            return Poll::Ready(Ok(piece));
        }
        let trailers = match (last, whole) {
            (false, _) => return Poll::Ready(Ok(piece.into_chunk(false))),
            (true, true) => self.held.trailers().clone(),
            (true, false) => allowed(exchange.stream.take_trailers()),
        };
        if trailers.is_empty() {
            return Poll::Ready(Ok(piece.into_chunk(true)));
        }
        let mut end = piece.into_chunk(false).unread().to_vec();
        trailer_section(&mut end, &trailers);
        Poll::Ready(Ok(Buffer::copy_of(&end)))
    }

    /// The next piece from the client; `None` at its end.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Poll<Result<Option<Buffer>, Fault>> {
        match exchange.stream.poll_body(cx) {
            Poll::Pending => {
                self.silence_begins(exchange);
                Poll::Pending
            }
            Poll::Ready(Ok(Some(piece))) => Poll::Ready(self.count(exchange, piece.len()).map(|()| Some(piece))),
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(BodyError::Bad)) => Poll::Ready(Err(Fault::BadBody)),
            Poll::Ready(Err(BodyError::Gone)) => Poll::Ready(Err(Fault::ClientGone)),
        }
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange<'_>) -> Poll<()> {
        match &mut self.gate {
            Gate::Open => {}
            Gate::Closed => return Poll::Pending,
            Gate::Waiting(patience) => {
                // Asked or not, the body may go.
                ready!(patience.as_mut().poll(cx));
                self.asked(exchange);
            }
        }
        Poll::Ready(())
    }

    fn count(&mut self, exchange: &mut Exchange<'_>, length: usize) -> Result<(), Fault> {
        self.bytes += length as u64;
        if self.bytes > self.limits.bytes_max {
            return Err(Fault::BodyTooLarge);
        }
        if let Some(since) = self.silent_since.take() {
            self.silent += exchange.waits.now().saturating_duration_since(since);
            if self.is_too_slow() {
                return Err(Fault::SlowBody);
            }
            if exchange.waits.is(Wait::RequestBody) {
                exchange.waits.over();
            }
        }
        Ok(())
    }

    /// Only time in which we waited for the client counts: a slow endpoint is not its fault.
    fn is_too_slow(&self) -> bool {
        let silent = self.silent;
        silent > RATE_GRACE && (self.bytes as f64) < self.limits.rate_min as f64 * silent.as_secs_f64()
    }

    fn silence_begins(&mut self, exchange: &mut Exchange<'_>) {
        if self.silent_since.is_none() {
            let now = exchange.waits.now();
            self.silent_since = Some(now);
            if !self.answered {
                exchange.waits.wait(Wait::RequestBody, now + self.limits.body_timeout);
            }
        }
    }

    /// The endpoint has taken what it had stalled, and the client is silent still.
    fn goes_on_waiting(&mut self, exchange: &mut Exchange<'_>) {
        if let Some(since) = self.silent_since
            && !self.answered
            && exchange.waits.is(Wait::RequestTaken)
        {
            exchange.waits.wait(Wait::RequestBody, since + self.limits.body_timeout);
        }
    }

    /// Whether the client is waited for.
    pub(super) fn waits_for_client(&self) -> bool {
        !self.ended && self.silent_since.is_some()
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

fn allowed(mut trailers: Fields) -> Fields {
    keep_allowed(&mut trailers);
    trailers
}

/// Half of what curl waits.
const CONTINUE_PATIENCE: Duration = Duration::from_millis(500);
const RATE_GRACE: Duration = Duration::from_secs(10);
/// Pieces before others have their turn.
const TURNS: usize = 16;
