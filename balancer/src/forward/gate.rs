//! Whether a client that asks first may send its body (RFC 9110 §10.1.1).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::net::{Sleep, sleep};

/// Whether the client may send its body.
#[derive(Debug)]
pub(super) enum Gate {
    Open,
    /// Until the worker asks for it with a 100, or has said nothing for a while: a client must not wait for ever, for there are
    /// workers that do not know the expectation.
    Waiting(Pin<Box<Sleep>>),
    /// The worker has answered without it.
    Closed,
}

impl Gate {
    /// The body waits for the worker's word.
    pub(super) fn hold_back(&mut self) {
        if self.is_open() {
            *self = Self::Waiting(Box::pin(sleep(PATIENCE)));
        }
    }

    /// The worker wants the body; whether it has waited for that.
    pub(super) fn open(&mut self) -> bool {
        let waited = matches!(self, Self::Waiting(_));
        if waited {
            *self = Self::Open;
        }
        waited
    }

    /// The worker has answered: a body that has waited until now stays where it is.
    pub(super) fn close(&mut self) {
        if matches!(self, Self::Waiting(_)) {
            *self = Self::Closed;
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Ready once the body may go; `true` if it goes because the worker has said nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Open => Poll::Ready(false),
            Self::Closed => Poll::Pending,
            Self::Waiting(patience) => {
                ready!(patience.as_mut().poll(cx));
                Poll::Ready(self.open())
            }
        }
    }
}

/// Half of what curl waits.
const PATIENCE: Duration = Duration::from_millis(500);
