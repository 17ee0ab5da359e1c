//! One request and its answer on an upstream connection that speaks HTTP/2 (RFC 9113 §8).
//!
//! Decides what of a head in HTTP/1.1, which is written the same for all endpoints, goes into frames, and what a reset means. Called by
//! [`super::connection`], which offers the same for all versions. Never reads or writes a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};

use super::super::error::Fault;
use super::shared::Held;
use super::written::Written;
use crate::http1::{BodyLength, Fields, Name, RequestHead, ResponseHead};
use crate::net::{Buffer, Outbox};

/// One stream.
#[derive(Debug)]
pub(in super::super) struct Streamed {
    requests: SendRequest<Bytes>,
    request: Option<SendStream<Bytes>>,
    answer: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// What ends the request's body, once all of it is here.
    end: Option<HeaderMap>,
    /// Whether the request has no more to send.
    is_sent: bool,
    tells: Tells,
    trailers: Fields,
    held: Held,
}

/// Who tells the endpoint's verdict of what has happened to a stream.
#[derive(Debug, Clone, Copy, Default)]
enum Tells {
    #[default]
    Each,
    /// The first of a connection that has ended with all of its streams.
    First,
    /// It is no failure of the endpoint.
    Nobody,
}

impl Streamed {
    pub(super) fn new(requests: SendRequest<Bytes>, held: Held) -> Self {
        let (trailers, tells) = Default::default();
        Self { requests, request: None, answer: None, body: None, end: None, is_sent: false, tells, trailers, held }
    }

    /// Whether what has happened is news of the endpoint.
    pub(super) fn is_first_to_tell(&self) -> bool {
        match self.tells {
            Tells::Each => true,
            Tells::First => self.held.is_first_to_tell(),
            Tells::Nobody => false,
        }
    }

    /// The request's body ends behind the piece that is on its way.
    pub(super) fn ends(&mut self, trailers: &Fields) {
        self.end = Some(map_of(trailers));
    }

    /// Hands on what waits, as far as the endpoint's windows and the memory for one stream let it.
    ///
    /// # Errors
    /// When no byte of the request was sent, and none can be.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Outbox,
        piece: &mut Buffer,
        written: &mut Written,
    ) -> Poll<io::Result<()>> {
        if !head.is_empty() {
            let begun = ready!(self.requests.poll_ready(cx)).and_then(|()| self.begin(head.unwritten()));
            if let Err(error) = begun {
                let has_died = error.is_io() || error.is_go_away();
                self.tells = if has_died { Tells::First } else { Tells::Nobody };
                return Poll::Ready(Err(io::Error::other(error)));
            }
            head.clear();
            *written = Written::Head;
        }
        let Some(request) = self.request.as_mut().filter(|_| !self.is_sent) else { return Poll::Ready(Ok(())) };
        while !piece.is_empty() {
            request.reserve_capacity(piece.len());
            let mut room = request.capacity();
            if room == 0 {
                room = match ready!(request.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    // An endpoint may answer before it has read all. Its answer decides.
                    _ => return self.gives_up(piece, written),
                };
            }
            let count = room.min(piece.len());
            if request.send_data(Bytes::copy_from_slice(&piece.unread()[..count]), false).is_err() {
                return self.gives_up(piece, written);
            }
            *written = Written::Body;
            self.held.uploads(count);
            piece.consume(count);
        }
        if let Some(trailers) = self.end.take() {
            self.is_sent = true;
            let _ = if trailers.is_empty() {
                request.send_data(Bytes::new(), true)
            } else {
                request.send_trailers(trailers)
            };
        }
        Poll::Ready(Ok(()))
    }

    /// The rest of the request goes nowhere. Of a piece nobody can say any more that it was never sent.
    fn gives_up(&mut self, piece: &mut Buffer, written: &mut Written) -> Poll<io::Result<()>> {
        *written = Written::Body;
        self.is_sent = true;
        *piece = Buffer::default();
        Poll::Ready(Ok(()))
    }

    /// Sends the head that stands in `head`.
    fn begin(&mut self, head: &[u8]) -> Result<(), h2::Error> {
        let broken = || h2::Error::from(Reason::INTERNAL_ERROR);
        let head = RequestHead::parse_written(head, Fields::default()).map_err(|_| broken())?;
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        let scheme = if self.held.is_encrypted() { Scheme::HTTPS } else { Scheme::HTTP };
        let host = head.fields.first(Name::Host).unwrap_or_default();
        *request.uri_mut() = uri_of(host, head.target(), scheme).map_err(|_| broken())?;
        *request.headers_mut() = map_of(&head.fields);
        let is_bodiless = matches!(head.length, BodyLength::None | BodyLength::Known(0));
        let (answer, body) = self.requests.send_request(request, is_bodiless)?;
        (self.answer, self.request, self.is_sent) = (Some(answer), Some(body), is_bodiless);
        Ok(())
    }

    /// Waits for the next head, an interim one or that of the answer.
    ///
    /// # Errors
    /// [`Fault::ClosedEarly`], [`Fault::BadResponse`] or [`Fault::TooManyFields`]. What the endpoint has certainly not looked at counts as
    /// not written.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        written: &mut Written,
    ) -> Poll<Result<ResponseHead, Fault>> {
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        if let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
            return Poll::Ready(head_of(&interim));
        }
        match ready!(Pin::new(answer).poll(cx)) {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                (self.answer, self.body) = (None, Some(body));
                Poll::Ready(head_of(&Response::from_parts(parts, ())))
            }
            Err(error) => {
                self.answer = None;
                let refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
                // §8.7: both say that the stream was not looked at.
                let is_untouched = refused || error.is_go_away() && error.is_remote();
                self.tells = Tells::of(&error);
                if is_untouched {
                    self.tells = Tells::First;
                    self.held.is_refused();
                    *written = Written::Nothing;
                }
                let is_of_ours = error.is_library() && error.is_reset();
                Poll::Ready(Err(if is_of_ours { Fault::BadResponse } else { Fault::ClosedEarly }))
            }
        }
    }

    /// How the body behind that head is framed.
    ///
    /// # Errors
    /// [`Fault::BadResponse`], where two readers could end it in two places.
    pub(super) fn length(&self, head: &ResponseHead, to_head: bool) -> Result<BodyLength, Fault> {
        let has_ended = self.body.as_ref().is_none_or(RecvStream::is_end_stream);
        match head.length(to_head)? {
            BodyLength::None => Ok(BodyLength::None),
            BodyLength::Known(length) if has_ended && length > 0 => Err(Fault::BadResponse),
            BodyLength::Known(length) => Ok(BodyLength::Known(length)),
            _ if has_ended => Ok(BodyLength::Known(0)),
            _ => Ok(BodyLength::Chunked),
        }
    }

    /// The next piece of the answer's body; `None` at its end. What is taken makes room for more.
    ///
    /// # Errors
    /// [`Fault::Truncated`].
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buffer>, Fault>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        while let Some(piece) = ready!(body.poll_data(cx)) {
            let piece = piece.map_err(|error| broken_off(&error, &mut self.tells))?;
            // It fails for a stream that is over, which needs no room.
            let _ = body.flow_control().release_capacity(piece.len());
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(Buffer::copy_of(&piece))));
            }
        }
        let trailers = ready!(body.poll_trailers(cx));
        let trailers = trailers.map_err(|error| broken_off(&error, &mut self.tells))?;
        for (name, value) in &trailers.unwrap_or_default() {
            self.trailers.append(name.as_str(), value.as_bytes().trim_ascii());
        }
        Poll::Ready(Ok(None))
    }

    /// Whether nothing more will come of the answer's body, and nothing behind it.
    pub(super) fn is_at_end(&self) -> bool {
        self.body.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    /// What came behind the answer's body.
    pub(super) fn take_trailers(&mut self) -> Fields {
        std::mem::take(&mut self.trailers)
    }
}

impl Tells {
    /// Where a stream ends with that.
    fn of(error: &h2::Error) -> Self {
        if error.is_reset() { Self::Each } else { Self::First }
    }
}

/// What it is when an answer does not come to its end.
fn broken_off(error: &h2::Error, tells: &mut Tells) -> Fault {
    *tells = Tells::of(error);
    Fault::Truncated
}

/// Whether host and target can be said in frames: HTTP/1 lets more bytes through than a URI has (RFC 3986), and workers may want them.
///
/// # Errors
/// [`Fault::BadHost`] or [`Fault::BadTarget`], the client's fault.
pub(in super::super) fn fits_frames(host: &[u8], target: &str) -> Result<(), Fault> {
    uri_of(host, target, Scheme::HTTP).map(drop)
}

/// Scheme, host and path as pseudo-fields want them (§8.3.1).
fn uri_of(host: &[u8], target: &str, scheme: Scheme) -> Result<Uri, Fault> {
    let host = if host.is_empty() { b"localhost" } else { host };
    let path = PathAndQuery::try_from(target).map_err(|_| Fault::BadTarget)?;
    if path.as_str() != target {
        // It would leave out a part of it.
        return Err(Fault::BadTarget);
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(host.try_into().map_err(|_| Fault::BadHost)?);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Fault::BadTarget)
}

/// Fields in frames: names in lower case, and none that is for a connection of HTTP/1 (§8.2.2) or said by a pseudo-field.
fn map_of(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter() {
        if matches!(field.name, Name::Host | Name::Connection | Name::TransferEncoding | Name::Upgrade) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.spelled), HeaderValue::from_bytes(field.value)) {
            map.append(name, value);
        }
    }
    map
}

fn head_of(response: &Response<()>) -> Result<ResponseHead, Fault> {
    let mut head = ResponseHead::new(response.status());
    if response.headers().len() > FIELDS_MAX {
        return Err(Fault::TooManyFields);
    }
    for (name, value) in response.headers() {
        head.fields.append(name.as_str(), value.as_bytes().trim_ascii());
    }
    Ok(head)
}

/// As of answers in HTTP/1.
const FIELDS_MAX: usize = 1_024;
