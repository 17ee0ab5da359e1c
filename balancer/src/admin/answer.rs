//! Answers of the admin service: a text, or what comes bit by bit.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::Report;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Pieces that somebody produces no faster than the client takes them.
    Pieces(mpsc::Receiver<Bytes>),
    /// What is told of an action: first what was told already.
    Lines(Option<Report>, mpsc::UnboundedReceiver<Report>),
}

pub(super) type ServiceAnswer = Response<AnswerBody>;

/// A text with its media type.
pub(super) fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> ServiceAnswer {
    with(status, kind, AnswerBody::Whole(text.into()))
}

/// A sentence.
pub(super) fn plain(status: StatusCode, sentence: &str) -> ServiceAnswer {
    text(status, PLAIN, format!("{sentence}\n"))
}

/// Any body.
pub(super) fn with(status: StatusCode, kind: &'static str, body: AnswerBody) -> ServiceAnswer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(std::mem::take(bytes))),
            Self::Pieces(pieces) => pieces.poll_recv(cx),
            Self::Lines(first, lines) => match first.take() {
                Some(line) => Poll::Ready(Some(line.json())),
                None => lines.poll_recv(cx).map(|line| line.map(|line| line.json())),
            },
        };
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// What a page of ours may do: run our script and ask us, and nothing else. Whatever gets into it from elsewhere runs nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const JSON_LINES: &str = "application/x-ndjson";
pub(super) const EVENT_STREAM: &str = "text/event-stream";
