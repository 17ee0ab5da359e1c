//! The answer of an endpoint, as it comes: heads, then the body.
//!
//! Decides what of it is no HTTP, and what is acknowledged at once. Called by the attempt and the relay. Never writes.

use std::io;
use std::task::{Context, Poll, ready};

use http::StatusCode;

use super::super::error::Fault;
use super::connection::Upstream;
use super::opening::refused;
use super::written::Written;
use crate::http1::{BodyDecoder, BodyLength, Ended, Fields, ResponseFault, ResponseHead, Search};
use crate::net::{Buffer, take_fields};

impl Upstream {
    /// Waits for the next head, an interim one or that of the answer: see [`Self::answer`]. Says which it is by its status.
    ///
    /// # Errors
    /// [`Fault::ClosedEarly`], [`Fault::BadResponse`] or [`Fault::TooManyFields`]; [`Fault::HandshakeFailed`], where an endpoint has not
    /// come so far as to look at the request.
    pub(in super::super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<StatusCode, Fault>> {
        loop {
            if !self.inbox.is_empty() {
                let read = ResponseHead::read(self.inbox.unread(), &mut self.search, HEAD_MAX, take_fields);
                if let Some((head, end)) = read.map_err(Fault::from)? {
                    self.answer = head;
                    self.inbox.consume(end);
                    self.search = Search::default();
                    return Poll::Ready(self.count());
                }
            }
            if let Some(streamed) = &mut self.streamed {
                self.answer = ready!(streamed.poll_head(cx, &mut self.written))?;
                return Poll::Ready(self.count());
            }
            match self.socket.poll_read(cx, &mut self.inbox) {
                Poll::Ready(Ok(length)) if length > 0 => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(Fault::ClosedEarly)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.refused(&error).unwrap_or(Fault::ClosedEarly))),
                Poll::Pending => {
                    if !self.inbox.is_empty() || self.interim > 0 {
                        self.acknowledge();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The fault where a handshake fails behind its end, which makes the request one that was never sent.
    fn refused(&mut self, error: &io::Error) -> Option<Fault> {
        let refused = refused(self.connected.as_ref()?.endpoint(), error)?;
        self.written = Written::Nothing;
        Some(refused)
    }

    /// Acknowledges the part of an answer that has come, once in its head and once in its body: the kernel goes on by itself until
    /// we send again. Some workers write an answer in parts, and wait with the next until the one before is acknowledged (RFC 896),
    /// which our kernel delays for 40 ms.
    fn acknowledge(&mut self) {
        if !std::mem::replace(&mut self.acknowledged, true) {
            self.socket.acknowledge();
        }
    }

    /// Interim responses are few and have no body.
    fn count(&mut self) -> Result<StatusCode, Fault> {
        let status = self.answer.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(Fault::BadResponse);
            }
        }
        Ok(status)
    }

    /// The last head that has come.
    pub(in super::super) fn answer(&mut self) -> &mut ResponseHead {
        &mut self.answer
    }

    /// How the body of the answer is framed. `to_head` says that the request was a HEAD.
    ///
    /// # Errors
    /// [`Fault::BadResponse`], for a body that two readers could end in two places.
    pub(in super::super) fn length(&self, to_head: bool) -> Result<BodyLength, Fault> {
        match &self.streamed {
            None => Ok(self.answer.length(to_head)?),
            Some(streamed) => streamed.length(&self.answer, to_head),
        }
    }

    /// The body of the answer begins.
    pub(in super::super) fn expect_body(&mut self, length: BodyLength) {
        self.body = match self.streamed {
            // How far it goes is the library's business.
            Some(_) if !matches!(length, BodyLength::None | BodyLength::Known(0)) => BodyDecoder::UntilClose,
            _ => BodyDecoder::new(length),
        };
        self.trailers = Fields::default();
        self.acknowledged = false;
    }

    /// Whether the last byte of the answer's body has been read.
    pub(in super::super) fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    /// The next piece of the answer's body; `None` at its end.
    ///
    /// # Errors
    /// When it breaks off.
    pub(in super::super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buffer>, Fault>> {
        while !self.body.is_done() {
            if self.inbox.is_empty() {
                if let Some(streamed) = &mut self.streamed {
                    let piece = ready!(streamed.poll_body(cx))?;
                    if piece.is_none() || streamed.is_at_end() {
                        self.body = BodyDecoder::Done;
                        self.trailers = streamed.take_trailers();
                    }
                    return Poll::Ready(Ok(piece));
                }
                match self.socket.poll_read(cx, &mut self.inbox) {
                    Poll::Ready(Ok(length)) if length > 0 => {}
                    // A reset is no end, even of a body that ends by close.
                    Poll::Ready(Ok(_)) if self.body.end() == Ended::Whole && !self.broken => {
                        return Poll::Ready(Ok(None));
                    }
                    Poll::Ready(_) => return Poll::Ready(Err(Fault::Truncated)),
                    Poll::Pending => {
                        self.acknowledge();
                        return Poll::Pending;
                    }
                }
            }
            let decoded = self.body.decode(self.inbox.unread_mut()).map_err(|_| Fault::Truncated)?;
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

    /// Trailers of the answer, once its body has come to its end.
    pub(in super::super) fn take_trailers(&mut self) -> Fields {
        std::mem::take(&mut self.trailers)
    }
}

impl From<ResponseFault> for Fault {
    fn from(fault: ResponseFault) -> Self {
        match fault {
            ResponseFault::Malformed => Self::BadResponse,
            ResponseFault::TooManyFields => Self::TooManyFields,
        }
    }
}

/// Of an answer's head, in bytes.
const HEAD_MAX: usize = 128 * 1024;
/// A few dozen; nobody sends more than a few.
const INTERIM_MAX: u8 = 32;
