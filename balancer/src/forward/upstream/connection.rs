//! One connection to an endpoint.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::unconstrained;

use super::super::error::Fault;
use super::opening::connect_to;
use super::streams::Streamed;
use super::written::Written;
use crate::endpoint::{Answered, Connected, Endpoint};
use crate::http1::{BodyDecoder, Fields, ResponseHead, Search};
use crate::net::{Buffer, Encryption, Outbox, Socket, give_fields};

/// An open connection to an endpoint, driven by whoever waits for its answer: no task of its own, so that dropping it
/// closes it at once and a request costs no wake-up from task to task.
#[derive(Debug)]
pub(in super::super) struct Upstream {
    /// Where it is known to have been answered on and may be again. Dropped first, before the endpoint can hear of the close.
    answered: Option<Answered>,
    /// Where it is a stream of a connection that others use too, and has no socket.
    pub(super) streamed: Option<Box<Streamed>>,
    pub(super) socket: Socket,
    /// What was read and is not used yet.
    pub(super) inbox: Buffer,
    /// The head of the request that is on its way.
    request: Outbox,
    /// The piece of its body that is on its way.
    piece: Buffer,
    pub(super) written: Written,
    /// Whether a write has failed: the kernel tells of a reset once, and what is read behind it looks like an end.
    pub(super) broken: bool,
    pub(super) search: Search,
    /// The last head that has come. Here, so that it is moved nowhere.
    pub(super) answer: ResponseHead,
    pub(super) interim: u8,
    pub(super) body: BodyDecoder,
    pub(super) trailers: Fields,
    /// Whether a part of the answer's head, or of its body, was acknowledged at once.
    pub(super) acknowledged: bool,
    /// Since when it is idle, or was before it was used the last time.
    idle_since: Option<Instant>,
    rest: Arc<Rest>,
    /// Dropped last. A stream has none: its connection is counted.
    pub(super) connected: Option<Connected>,
}

/// Notes when something comes on an idle connection, which can be nothing but its close.
#[derive(Debug, Default)]
struct Rest(Mutex<Option<Instant>>);

impl Upstream {
    /// Opens a connection.
    ///
    /// # Errors
    /// Those of [`connect_to`].
    pub(in super::super) async fn open(
        endpoint: &Arc<Endpoint>,
        within: Duration,
        encryption: &Encryption,
    ) -> Result<Box<Self>, Fault> {
        connect_to(endpoint, within, encryption).await.map(|(socket, connected)| Self::over(socket, connected))
    }

    /// A connection that has carried nothing yet, or has rested since, see [`Self::into_idle`].
    pub(in super::super) fn over(socket: Socket, connected: Connected) -> Box<Self> {
        Self::new(socket, Some(connected), None)
    }

    /// A stream that has carried nothing yet.
    #[cfg(feature = "http2")]
    pub(super) fn streamed(streamed: Streamed) -> Box<Self> {
        Self::new(Socket::none(), None, Some(Box::new(streamed)))
    }

    fn new(socket: Socket, connected: Option<Connected>, streamed: Option<Box<Streamed>>) -> Box<Self> {
        Box::new(Self {
            answered: None,
            streamed,
            socket,
            inbox: Buffer::default(),
            request: Outbox::default(),
            piece: Buffer::default(),
            written: Written::Nothing,
            broken: false,
            search: Search::default(),
            answer: ResponseHead::new(StatusCode::OK),
            interim: 0,
            body: BodyDecoder::Done,
            trailers: Fields::default(),
            acknowledged: false,
            idle_since: None,
            rest: Arc::default(),
            connected,
        })
    }

    /// Begins a request; its head is written onto the end of what this returns.
    pub(in super::super) fn begin(&mut self) -> &mut Vec<u8> {
        (self.written, self.search, self.interim, self.acknowledged) = (Written::Nothing, Search::default(), 0, false);
        self.request.end()
    }

    /// Whether nothing was answered on it, not a byte.
    pub(in super::super) fn is_unanswered(&self) -> bool {
        self.answered.is_none() && self.inbox.is_empty() && self.streamed.is_none()
    }

    /// It was answered, and may be used again; whether that shows, now, that the endpoint serves one connection at a time.
    pub(in super::super) fn answered(&mut self, endpoint: &Arc<Endpoint>, now: impl FnOnce() -> Instant) -> bool {
        if self.answered.is_some() {
            return false;
        }
        let (answered, shows) = Answered::first(endpoint, now());
        self.answered = Some(answered);
        shows
    }

    /// It is idle, and closed to see what comes of it.
    pub(super) fn let_go(&mut self) {
        if let Some(answered) = &mut self.answered {
            answered.let_go();
        }
    }

    /// Whether its endpoint is still where it was.
    pub(in super::super) fn is_current(&self) -> bool {
        self.connected.as_ref().is_some_and(Connected::is_current)
    }

    /// Whether a piece of the body is on its way.
    pub(in super::super) fn has_piece(&self) -> bool {
        !self.piece.is_empty()
    }

    /// Puts the next piece of the body behind what is on its way.
    pub(in super::super) fn put(&mut self, piece: Buffer) {
        self.piece = piece;
    }

    /// Whether a body goes into frames, as it comes, and not into chunks.
    pub(in super::super) fn takes_frames(&self) -> bool {
        self.streamed.is_some()
    }

    /// Whether nobody else has told of what has happened. Streams of one connection end with it: that is one failure of their endpoint.
    pub(in super::super) fn is_first_to_tell(&self) -> bool {
        self.streamed.as_ref().is_none_or(|streamed| streamed.is_first_to_tell())
    }

    /// The body ends behind the piece that is on its way, where its framing does not say so.
    pub(in super::super) fn end(&mut self, trailers: &Fields) {
        if let Some(streamed) = &mut self.streamed {
            streamed.ends(trailers);
        }
    }

    /// Takes back the piece of which the endpoint has got nothing.
    pub(in super::super) fn take_back(&mut self) -> Buffer {
        std::mem::take(&mut self.piece)
    }

    /// Bytes of the request that are on their way.
    pub(in super::super) fn unwritten(&self) -> usize {
        self.request.unwritten().len() + self.piece.len()
    }

    /// How much of the request has been taken.
    pub(in super::super) fn written(&self) -> Written {
        self.written
    }

    /// Writes what is on its way.
    ///
    /// A worker may answer before it has read the request, and close: its kernel then answers the rest with a reset. What it has
    /// said is here all the same, and is read before the reset is (RFC 9112 §9.5). So the rest of the request goes nowhere, and
    /// what is read decides.
    ///
    /// # Errors
    /// When a write failed before the first byte of the request was written. Later failures are no errors: the answer decides.
    pub(in super::super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(streamed) = &mut self.streamed {
            return streamed.poll_flush(cx, &mut self.request, &mut self.piece, &mut self.written);
        }
        while !(self.request.is_empty() && self.piece.is_empty()) {
            let head = self.request.unwritten();
            let result = match (head.is_empty(), self.piece.is_empty()) {
                (false, false) => self.socket.poll_write_both(cx, head, self.piece.unread()),
                (false, true) => self.socket.poll_write(cx, head),
                (true, _) => self.socket.poll_write(cx, self.piece.unread()),
            };
            let of_head = head.len();
            if result.is_pending() {
                self.piece.settle();
            }
            match ready!(result) {
                Ok(length) => {
                    self.request.written(length.min(of_head));
                    self.piece.consume(length.saturating_sub(of_head));
                    let written = if length > of_head { Written::Body } else { Written::Head };
                    self.written = self.written.max(written);
                }
                Err(error) if self.written == Written::Nothing => return Poll::Ready(Err(error)),
                Err(_) => {
                    // Of a piece that goes nowhere nobody can say any more that it was never sent.
                    if !self.piece.is_empty() {
                        self.written = Written::Body;
                    }
                    self.broken = true;
                    self.request.clear();
                    self.piece = Buffer::default();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether it is open, as far as the runtime has heard, and has nothing to say.
    pub(super) fn is_open(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.rest));
        // Whatever the task has done in this turn already: without budget the runtime would wake at once.
        let broken = pin!(unconstrained(poll_fn(|cx| self.socket.poll_broken(cx))));
        broken.poll(&mut Context::from_waker(&waker)).is_pending()
    }

    /// Whether an idle connection is open and silent. The kernel is asked, for the runtime hears of events between two turns only, and
    /// bytes that are here already would be read as the answer to the next request.
    pub(super) fn is_quiet(&self) -> bool {
        self.rest.0.lock().unwrap_or_else(PoisonError::into_inner).is_none() && self.socket.is_silent()
    }

    /// Leaves the request that it has carried to its end; whether it can be kept for another.
    pub(super) fn rests(&mut self, since: Instant) -> bool {
        self.idle_since = Some(since);
        *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        give_fields(std::mem::take(&mut self.answer.fields));
        // What a worker says unasked is no answer to the next request.
        self.is_clean() && self.is_open()
    }

    /// Whether nothing of the last exchange is left.
    fn is_clean(&self) -> bool {
        self.inbox.is_empty() && self.request.is_empty() && !self.broken
    }

    /// The idle connection, for any thread to go on with; `None` when it cannot carry another request. Whether it is still open is
    /// for that thread to ask.
    pub(in super::super) fn into_idle(self) -> Option<(Socket, Connected)> {
        let is_clean = self.is_clean();
        Some((self.socket, self.connected.filter(|_| is_clean)?))
    }

    /// For how long it had been idle.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        self.idle_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// For how long it had been idle when something came; until now where nothing was noted.
    pub(super) fn idle_until_closed(&self) -> Option<Duration> {
        let noted = *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(noted.unwrap_or_else(Instant::now).saturating_duration_since(self.idle_since?))
    }

    /// Takes the socket after a 101, with what was read behind it.
    pub(in super::super) fn into_socket(self) -> (Socket, Buffer, Option<Connected>) {
        (self.socket, self.inbox, self.connected)
    }
}

impl Wake for Rest {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }
}
