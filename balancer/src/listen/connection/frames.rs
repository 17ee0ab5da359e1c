//! A client's side of one exchange over HTTP/2: the stream of a request and its answer (RFC 9113 §8).
//!
//! Decides how heads and bodies become frames, and how far a body may go ahead of its reader. Called by [`super::stream`], which offers a
//! service the same for all versions. Never reads or writes a socket: the library does, for all streams of a connection.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::outgoing::Outgoing;
use crate::http1::{BodyLength, Fields, ResponseHead};
use crate::net::Buffer;

/// One stream.
#[derive(Debug)]
pub(super) struct Frames {
    request: RecvStream,
    /// Behind the request's body, once that has come to its end.
    trailers: Option<Fields>,
    answer: Answer,
    /// What is to be sent behind the last piece of the answer.
    end: Option<End>,
    /// Whether the head was the end of the answer.
    is_bodiless: bool,
    here: Option<SocketAddr>,
}

/// How far the answer is.
#[derive(Debug)]
enum Answer {
    /// No final head yet.
    Head(SendResponse<Bytes>),
    /// Its body, or nothing more.
    Body(SendStream<Bytes>),
    /// The client has gone.
    Gone,
}

/// What ends an answer's body.
#[derive(Debug)]
enum End {
    Nothing,
    Trailers(HeaderMap),
}

impl Frames {
    /// A stream on a connection to that address of ours.
    pub(super) fn new(request: RecvStream, answer: SendResponse<Bytes>, here: Option<SocketAddr>) -> Self {
        Self { request, trailers: None, answer: Answer::Head(answer), end: None, is_bodiless: false, here }
    }

    /// Where the client has connected to.
    pub(super) fn here(&self) -> Option<SocketAddr> {
        self.here
    }

    /// The next piece of the request's body; `None` at its end. What is taken makes room for more.
    ///
    /// # Errors
    /// When the client has left.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Buffer>>> {
        while let Some(piece) = ready!(self.request.poll_data(cx)) {
            let piece = piece.map_err(io::Error::other)?;
            // It fails for a stream that is over, which needs no room.
            let _ = self.request.flow_control().release_capacity(piece.len());
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(Buffer::copy_of(&piece))));
            }
        }
        let trailers = ready!(self.request.poll_trailers(cx)).map_err(io::Error::other)?;
        self.trailers = Some(fields_of(&trailers.unwrap_or_default()));
        Poll::Ready(Ok(None))
    }

    /// Whether nothing more will come of the request's body.
    pub(super) fn is_at_end(&self) -> bool {
        self.request.is_end_stream()
    }

    /// What came behind the request's body.
    pub(super) fn take_trailers(&mut self) -> Fields {
        self.trailers.take().unwrap_or_default()
    }

    /// Whether the client has reset the stream or left.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Answer::Head(answer) => answer.poll_reset(cx).map(drop),
            Answer::Body(answer) => answer.poll_reset(cx).map(drop),
            Answer::Gone => Poll::Ready(()),
        }
    }

    /// Whether it has done so by now.
    pub(super) fn is_gone(&mut self) -> bool {
        self.poll_gone(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Sends a head before the final one.
    pub(super) fn interim(&mut self, status: StatusCode, fields: &Fields) {
        if let Answer::Head(answer) = &mut self.answer {
            // It fails for a stream that is over.
            let _ = answer.send_informational(response(status, fields));
        }
    }

    /// Begins the answer. `has_body` says whether anything follows the head.
    pub(super) fn respond(&mut self, head: &ResponseHead, length: BodyLength, has_body: bool) {
        let Answer::Head(answer) = &mut self.answer else { return };
        let mut response = response(head.status, &head.fields);
        if let BodyLength::Known(length) = length {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.is_bodiless = !has_body;
        self.answer = match answer.send_response(response, !has_body) {
            Ok(body) => Answer::Body(body),
            Err(_) => Answer::Gone,
        };
    }

    /// Ends the answer behind the pieces that wait.
    pub(super) fn finish(&mut self, trailers: Option<&Fields>) {
        if self.is_bodiless {
            return;
        }
        let trailers = trailers.map(map_of).filter(|trailers| !trailers.is_empty());
        self.end = Some(trailers.map_or(End::Nothing, End::Trailers));
    }

    /// Breaks the answer off, visibly. What the library has not written yet of it is lost.
    pub(super) fn reset(&mut self) {
        match &mut self.answer {
            Answer::Head(answer) => answer.send_reset(Reason::INTERNAL_ERROR),
            Answer::Body(answer) => answer.send_reset(Reason::INTERNAL_ERROR),
            Answer::Gone => {}
        }
    }

    /// Hands on what waits, as far as the client's windows and the memory for one stream let it, and the end behind it.
    ///
    /// # Errors
    /// When the client is gone.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<io::Result<()>> {
        let answer = match &mut self.answer {
            Answer::Body(answer) => answer,
            Answer::Head(_) => return Poll::Ready(Ok(())),
            Answer::Gone => return Poll::Ready(Err(gone())),
        };
        while let Some(front) = outgoing.front() {
            answer.reserve_capacity(front.len());
            let mut room = answer.capacity();
            if room == 0 {
                room = match ready!(answer.poll_capacity(cx)) {
                    Some(room) => room.map_err(io::Error::other)?,
                    None => return Poll::Ready(Err(gone())),
                };
            }
            let count = room.min(front.len());
            answer.send_data(Bytes::copy_from_slice(&front[..count]), false).map_err(io::Error::other)?;
            outgoing.went_on(count);
        }
        let sent = match self.end.take() {
            Some(End::Nothing) => answer.send_data(Bytes::new(), true),
            Some(End::Trailers(trailers)) => answer.send_trailers(trailers),
            None => Ok(()),
        };
        Poll::Ready(sent.map_err(io::Error::other))
    }
}

/// A head as the library takes it. Fields for the connection of a worker have been taken out before (RFC 9113 §8.2.2).
fn response(status: StatusCode, fields: &Fields) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = map_of(fields);
    response
}

/// Names in lower case (RFC 9113 §8.2.1).
fn map_of(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter() {
        // Both were read by a reader that is at least as strict.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.spelled), HeaderValue::from_bytes(field.value)) {
            map.append(name, value);
        }
    }
    map
}

/// The fields of a trailer section.
fn fields_of(map: &HeaderMap) -> Fields {
    let mut fields = Fields::default();
    map.iter().for_each(|(name, value)| fields.append(name.as_str(), value.as_bytes().trim_ascii()));
    fields
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
