//! Bodies on their way: counted, limited, held only where a slow client would hold a worker.

mod ahead;
mod held;
mod held_upload;
mod relay;
mod trailers;
mod upload;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::Fault;
pub(super) use ahead::Ahead;
pub(super) use relay::Lease;
pub(super) use relay::Relay;
pub(super) use upload::{Limits, Upload};

/// The body of an upstream request.
///
/// It does not own the client's bytes but refers to them, so that an attempt which fails before any of them was taken
/// leaves them for the next.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// What the client sends.
    Upload(Rc<Upload>),
}

/// The body of an answer to a client.
#[derive(Debug)]
pub enum ResponseBody {
    /// None.
    Empty,
    /// Ours.
    Text(Bytes),
    /// A worker's, at its client's pace.
    Relay(Relay),
    /// A worker's, read ahead of a slow client.
    Ahead(Ahead),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Upload(upload) => upload.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Upload(upload) => upload.size_hint(),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let body = self.get_mut();
        match body {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => {
                let text = std::mem::take(text);
                *body = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
            Self::Relay(relay) => relay.poll_frame(cx),
            Self::Ahead(ahead) => ahead.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_empty(),
            Self::Relay(relay) => relay.is_end_stream(),
            Self::Ahead(ahead) => ahead.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Relay(relay) => relay.size_hint(),
            Self::Ahead(ahead) => ahead.size_hint(),
        }
    }
}
