//! A client's request body as it comes: what of it is held, how large it may be and how slow.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::error::Fault;
use super::exchange::Exchange;
use super::held::Held;
use super::pace::{Mark, Pace};
use super::trailers::keep_allowed;
use super::waits::Wait;
use crate::http1::Fields;
use crate::listen::BodyError;
use crate::net::Buffer;
use crate::pool::Pressure;
use crate::spool::Spool;

/// How far a client's request body has come.
#[derive(Debug)]
pub(super) struct Body {
    limits: BodyLimits,
    held: Held,
    bytes: u64,
    silent_since: Option<Instant>,
    silent: Duration,
    pace: Pace,
}

/// What a client's request body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// Bytes in all.
    pub(super) bytes_max: u64,
    /// Bytes a second over ten seconds of waiting for the client; 0: no floor.
    pub(super) rate_min: u64,
    /// Silence of the client.
    pub(super) timeout: Duration,
}

/// How long an endpoint may take for a request body.
#[derive(Debug, Clone, Copy)]
pub(super) struct UploadLimits {
    /// Silence of an endpoint that takes nothing.
    pub(super) idle_timeout: Duration,
    /// From the end of the body to the response.
    pub(super) response_timeout: Duration,
}

impl Body {
    pub(super) fn new(limits: BodyLimits) -> Self {
        Self { limits, held: Held::new(), bytes: 0, silent_since: None, silent: Duration::ZERO, pace: Pace::default() }
    }

    /// Reads it up to `bytes_max` and as far as it fits into a `spool`, so that a slow client keeps no endpoint waiting.
    ///
    /// # Errors
    /// What is wrong with the body, or that its client is too slow.
    pub(super) async fn hold(
        &mut self,
        exchange: &mut Exchange<'_>,
        bytes_max: u64,
        spool: Option<&Spool>,
    ) -> Result<(), Fault> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        poll_fn(|cx| {
            // Where the client is to be told to go on.
            if matches!(exchange.stream.poll_flush(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Err(Fault::ClientGone));
            }
            match self.poll_hold(cx, exchange, bytes_max, spool) {
                Poll::Pending => {
                    let late = exchange.waits.late().map(Fault::late);
                    late.map_or(Poll::Pending, |fault| Poll::Ready(Err(fault)))
                }
                held => held,
            }
        })
        .await?;
        exchange.waits.over();
        Ok(())
    }

    fn poll_hold(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        bytes_max: usize,
        spool: Option<&Spool>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            let whose = exchange.one_client();
            let room = self.held.poll_room(cx, (bytes_max, whose), spool);
            if !ready!(self.of_disk(exchange, room, true)) {
                return Poll::Ready(Ok(()));
            }
            if let Some(piece) = ready!(self.poll_client(cx, exchange, true))? {
                self.held.push(piece);
            }
            if exchange.stream.body_is_done() {
                self.held.complete(allowed(exchange.stream.take_trailers()));
            }
        }
    }

    /// What the disk says, which is waited for no longer than a client is.
    fn of_disk<T>(&self, exchange: &mut Exchange<'_>, said: Poll<T>, timed: bool) -> Poll<T> {
        let waits = exchange.waits.is(Wait::Disk);
        if said.is_pending() && timed && !waits {
            let now = exchange.waits.now();
            exchange.waits.wait(Wait::Disk, self.late_at(now));
        } else if said.is_ready() && waits {
            exchange.waits.over();
        }
        said
    }

    /// What is held of it.
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    /// Whether any of it was read before an endpoint asked for it.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_whole() || !self.held.is_at_end()
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        self.held.is_whole()
    }

    /// Since when the client is waited for.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// When a silence that began then is too long.
    pub(super) fn late_at(&self, since: Instant) -> Instant {
        since + self.limits.timeout
    }

    /// Whether the client, which is waited for, keeps an endpoint waiting for too long.
    pub(super) fn is_too_slow(&mut self, now: Instant, pressure: Option<Pressure>) -> bool {
        let silence = self.silent_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let at = Mark { waited: self.silent + silence, bytes: self.bytes };
        self.pace.is_too_slow(at, self.limits.rate_min, pressure)
    }

    /// The next piece to hand on, perhaps an empty one, and whether it is the last.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        timed: bool,
    ) -> Poll<Result<(Buffer, bool), Fault>> {
        let whole = self.held.is_whole();
        let held = self.held.poll_next(cx);
        let piece = match ready!(self.of_disk(exchange, held, timed)) {
            Ok(None) if !whole => ready!(self.poll_client(cx, exchange, timed))?,
            Ok(piece) => piece,
            Err(error) => {
                tracing::error!(%error, "a body that waited on the disk cannot be read");
                return Poll::Ready(Err(Fault::SpoolFailed));
            }
        };
        let last = self.held.is_at_end() && (whole || exchange.stream.body_is_done());
        Poll::Ready(Ok((piece.unwrap_or_default(), last)))
    }

    /// Trailers behind the last piece, those that may go on.
    pub(super) fn trailers(&self, exchange: &mut Exchange<'_>) -> Fields {
        match self.held.is_whole() {
            true => self.held.trailers().clone(),
            false => allowed(exchange.stream.take_trailers()),
        }
    }

    /// The next piece from the client; `None` at its end. Where it is `timed`, silence is waited for no longer than it may last.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
        timed: bool,
    ) -> Poll<Result<Option<Buffer>, Fault>> {
        match exchange.stream.poll_body(cx) {
            Poll::Pending => {
                self.silence_begins(exchange, timed);
                Poll::Pending
            }
            Poll::Ready(Ok(Some(piece))) => Poll::Ready(self.count(exchange, piece.len()).map(|()| Some(piece))),
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(BodyError::Bad)) => Poll::Ready(Err(Fault::BadBody)),
            Poll::Ready(Err(BodyError::Gone)) => Poll::Ready(Err(Fault::ClientGone)),
        }
    }

    fn count(&mut self, exchange: &mut Exchange<'_>, length: usize) -> Result<(), Fault> {
        self.bytes += length as u64;
        if self.bytes > self.limits.bytes_max {
            return Err(Fault::BodyTooLarge);
        }
        if let Some(since) = self.silent_since.take() {
            // Only time in which we waited for the client counts: a slow endpoint is not its fault.
            self.silent += exchange.waits.now().saturating_duration_since(since);
            let at = Mark { waited: self.silent, bytes: self.bytes };
            if self.pace.has_fallen_behind(at, self.limits.rate_min) {
                return Err(Fault::SlowBody);
            }
            if exchange.waits.is(Wait::RequestBody) {
                exchange.waits.over();
            }
        }
        Ok(())
    }

    fn silence_begins(&mut self, exchange: &mut Exchange<'_>, timed: bool) {
        if self.silent_since.is_none() {
            let now = exchange.waits.now();
            self.silent_since = Some(now);
            if timed {
                exchange.waits.wait(Wait::RequestBody, self.late_at(now));
            }
        }
    }
}

fn allowed(mut trailers: Fields) -> Fields {
    keep_allowed(&mut trailers);
    trailers
}
