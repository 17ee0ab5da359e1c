//! One request of a connection and the way its answer takes.
//!
//! What a [`crate::listen::Service`] is handed. It speaks of heads and bodies and not of a version of HTTP: framing and persistence
//! (RFC 9112 §6, §9) are decided here.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::frames::Frames;
use super::outgoing::Outgoing;
use crate::http1::{BadBody, BodyDecoder, Fields, RequestHead};
use crate::listen::idle::alarm::Alarm;
use crate::listen::idle::registry::Registry;
use crate::net::{Buffer, Peer, Socket, give_fields};

/// A client's side of one exchange.
#[derive(Debug)]
pub struct Stream {
    pub(in crate::listen) socket: Socket,
    /// What was read and is not used yet.
    pub(super) inbox: Buffer,
    pub(in crate::listen) alarm: Rc<Alarm>,
    /// Where it came in frames, and not by the socket.
    pub(super) frames: Option<Box<Frames>>,
    pub(super) registry: Rc<Registry>,
    peer: Peer,
    begun: Instant,
    complete: Instant,
    pub(super) head: Option<Arc<RequestHead>>,
    pub(super) body: BodyDecoder,
    /// Behind the body.
    trailers: Fields,
    pub(super) outgoing: Outgoing,
    pub(super) framing: BodyFraming,
    pub(super) keeps: bool,
    /// Whether it is looked for the client's leaving.
    looks: bool,
    pub(super) state: Progress,
}

/// How a response's body goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// As it comes, or not at all.
    Plain,
    Chunked,
    UntilClose,
}

/// How far the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// No final head yet.
    Waiting,
    /// The head is on its way, or the body.
    Responding,
    /// All of it has been handed over.
    Finished,
    /// It has broken off.
    Cut,
}

/// Why there is no more of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is not framed as RFC 9112 §7 says.
    Bad,
    /// The client has left.
    Gone,
}

/// What becomes of a connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listen) enum After {
    /// The next request.
    Next,
    /// The end of the connection.
    Close,
    /// The same, once the client has read the answer: it is still sending.
    Linger,
    /// A reset, so that the client cannot take the answer for complete.
    Reset,
}

impl Stream {
    pub(in crate::listen) fn new(socket: Socket, peer: Peer, registry: &Rc<Registry>, alarm: Rc<Alarm>) -> Self {
        let now = Instant::now();
        Self {
            socket,
            inbox: Buffer::default(),
            alarm,
            frames: None,
            registry: Rc::clone(registry),
            peer,
            begun: now,
            complete: now,
            head: None,
            body: BodyDecoder::Done,
            trailers: Fields::default(),
            outgoing: Outgoing::default(),
            framing: BodyFraming::Plain,
            keeps: true,
            looks: false,
            state: Progress::Waiting,
        }
    }

    /// Who sent the request.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// A proxy in front of us has told who that is.
    pub(super) fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Where the client has connected to; `None` for a Unix socket. One system call.
    pub fn here(&self) -> Option<SocketAddr> {
        match &self.frames {
            Some(frames) => frames.here(),
            None => self.socket.local_address(),
        }
    }

    /// Whether it has come over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.socket.session().is_some()
    }

    /// When the request began to arrive; between requests, since when the connection is idle.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// When its head was complete.
    pub fn complete(&self) -> Instant {
        self.complete
    }

    /// The request's head. Between requests, and before the first, there is none.
    pub fn head(&self) -> Option<&Arc<RequestHead>> {
        self.head.as_ref()
    }

    /// What wakes the connection when a wait is too long.
    pub fn alarm(&self) -> &Rc<Alarm> {
        &self.alarm
    }

    /// Whether the last byte of the request's body has been read.
    pub fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    /// Whether bytes are here that nobody has asked for yet.
    pub fn has_read_ahead(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The next piece of the request's body; `None` at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buffer>, BodyError>> {
        while !self.body.is_done() {
            if let Some(frames) = &mut self.frames {
                let piece = ready!(frames.poll_body(cx)).map_err(|_| BodyError::Gone)?;
                if piece.is_none() || frames.is_at_end() {
                    self.body = BodyDecoder::Done;
                    self.trailers = frames.take_trailers();
                }
                return Poll::Ready(Ok(piece));
            }
            if self.inbox.is_empty() {
                match ready!(self.socket.poll_read(cx, &mut self.inbox)) {
                    Ok(length) if length > 0 => {}
                    _ => return Poll::Ready(Err(BodyError::Gone)),
                }
            }
            let decoded = self.body.decode(self.inbox.unread_mut()).map_err(|BadBody| BodyError::Bad)?;
            let piece = self.inbox.split(decoded.data, decoded.used);
            if let Some(trailers) = self.body.take_trailers() {
                self.trailers = trailers;
            }
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Whether the client has left. To be asked while something else than the client's bytes is waited for. The socket is looked at
    /// from the next tick on, so that a request which is answered sooner costs nothing and its socket need not be registered.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(frames) = &mut self.frames {
            return frames.poll_gone(cx);
        }
        self.inbox.settle();
        if !self.alarm.ticked() && !self.looks {
            self.alarm.watch(true);
            return Poll::Pending;
        }
        self.looks = true;
        if self.socket.register().is_err() {
            return Poll::Ready(());
        }
        let silent = self.socket.poll_readable(cx).is_pending();
        // Behind bytes that nobody reads yet nothing tells of the end.
        self.alarm.watch(!silent);
        if !silent && self.socket.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Socket and unread bytes, for a tunnel behind a 101.
    pub fn tunnel(&mut self) -> (&mut Socket, &mut Buffer) {
        self.state = Progress::Finished;
        (&mut self.socket, &mut self.inbox)
    }

    /// Trailers of the request's body, once that has come to its end.
    pub fn take_trailers(&mut self) -> Fields {
        std::mem::take(&mut self.trailers)
    }

    /// A request begins with this head, which is complete since that time.
    pub(in crate::listen) fn begins(&mut self, head: RequestHead, complete: Instant) {
        self.complete = complete;
        self.body = BodyDecoder::new(head.length);
        self.head = Some(Arc::new(head));
        (self.state, self.framing, self.keeps) = (Progress::Waiting, BodyFraming::Plain, true);
    }

    /// The first byte of a request, or the end of an exchange, was at that time.
    pub fn set_begun(&mut self, begun: Instant) {
        self.begun = begun;
    }

    /// The exchange is over.
    pub(super) fn ends(&mut self) -> After {
        if let Some(head) = self.head.take().and_then(Arc::into_inner) {
            give_fields(head.fields);
        }
        self.looks = false;
        self.alarm.set(None);
        self.alarm.watch(false);
        if self.state != Progress::Finished || !self.is_flushed() {
            return if self.framing == BodyFraming::UntilClose || self.state == Progress::Cut && !self.is_flushed() {
                After::Reset
            } else {
                After::Close
            };
        }
        if self.framing == BodyFraming::UntilClose {
            self.socket.end_on_close();
        }
        match (self.body.is_done(), self.keeps) {
            (false, _) => After::Linger,
            (true, true) => After::Next,
            // Who has sent more than is answered may be sending still.
            (true, false) if self.has_read_ahead() => After::Linger,
            (true, false) => After::Close,
        }
    }
}
