//! The bodies hyper sends.
//!
//! Decides which frames an answer has and whether it is counted or chunked. Called by hyper, made by the routes. Never
//! ends a body early: what breaks on purpose is in `faults`.

use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::streams::{Events, Pattern};
use crate::takeover::Busy;
use crate::worker::InFlight;

/// The body of an answer; the request is in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    /// Dropped with the body, which ends the request.
    guards: Option<(InFlight, Busy)>,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Counted(Pattern),
    Chunked(Pattern),
    Events(Events),
    Echo { head: Bytes, body: Incoming },
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
        Content::Whole(bytes.into()).into()
    }

    pub(crate) fn empty() -> Body {
        Body::whole(Bytes::new())
    }

    /// With `Content-Length`.
    pub(crate) fn counted(pattern: Pattern) -> Body {
        Content::Counted(pattern).into()
    }

    /// Without a length known before.
    pub(crate) fn chunked(pattern: Pattern) -> Body {
        Content::Chunked(pattern).into()
    }

    pub(crate) fn events(events: Events) -> Body {
        Content::Events(events).into()
    }

    /// `head`, then what the client sends, as it comes; counted if the client counted.
    ///
    /// The first piece is awaited: a client that expects a 100 gets it only while no answer has begun.
    pub(crate) async fn echo(head: String, mut body: Incoming) -> hyper::Result<Body> {
        let mut head = BytesMut::from(head.as_bytes());
        if let Some(frame) = body.frame().await
            && let Ok(data) = trailers_as_lines(frame?).into_data()
        {
            head.extend_from_slice(&data);
        }
        Ok(Content::Echo { head: head.freeze(), body }.into())
    }

    /// Keeps the request in flight as long as this body is.
    pub(crate) fn holding(mut self, in_flight: InFlight, busy: Busy) -> Body {
        self.guards = Some((in_flight, busy));
        self
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Body {
        Body { content, guards: None }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let data = |bytes| Ok(Frame::data(bytes));
        match &mut self.content {
            Content::Whole(bytes) | Content::Echo { head: bytes, .. } if !bytes.is_empty() => {
                Poll::Ready(Some(data(std::mem::take(bytes))))
            }
            Content::Whole(_) => Poll::Ready(None),
            Content::Counted(pattern) | Content::Chunked(pattern) => pattern.poll_next(cx).map(|piece| piece.map(data)),
            Content::Events(events) => events.poll_next(cx).map(|piece| piece.map(data)),
            Content::Echo { body, .. } => Pin::new(body).poll_frame(cx).map_ok(trailers_as_lines),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Counted(pattern) => pattern.left() == 0,
            // Only the end of the stream writes the last chunk.
            Content::Chunked(_) | Content::Events(_) => false,
            Content::Echo { head, body } => head.is_empty() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Counted(pattern) => SizeHint::with_exact(pattern.left()),
            Content::Chunked(_) | Content::Events(_) => SizeHint::default(),
            Content::Echo { head, body } => match body.size_hint().exact() {
                Some(length) => SizeHint::with_exact(length.saturating_add(head.len() as u64)),
                None => SizeHint::default(),
            },
        }
    }
}

fn trailers_as_lines(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => {
            let mut lines = String::from("\n");
            for (name, value) in &trailers {
                // Writing to a String does not fail.
                let _ = writeln!(lines, "trailer {name}: {}", String::from_utf8_lossy(value.as_bytes()));
            }
            Frame::data(lines.into())
        }
        Err(frame) => frame,
    }
}
