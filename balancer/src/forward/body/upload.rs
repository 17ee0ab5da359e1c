//! A request body between a client that may be slow and an endpoint that may not take it.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::error::Fault;
use super::held_upload::Held;
use super::trailers::allowed;
use crate::listen::{Client, Wait};

/// A client's request body, and how far it has got.
pub struct Upload {
    incoming: RefCell<Incoming>,
    client: Rc<Client>,
    limits: Limits,
    gate: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    held: RefCell<Held>,
    bytes: Cell<u64>,
    taken: Cell<bool>,
    answered: Cell<bool>,
    ended: Cell<bool>,
    silent_since: Cell<Option<Instant>>,
    silent: Cell<Duration>,
    fault: Cell<Option<Fault>>,
}

/// What a request body may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes in all.
    pub bytes_max: u64,
    /// Bytes a second after ten seconds of waiting for the client; 0: no floor.
    pub rate_min: u64,
    /// Silence of the client.
    pub body_timeout: Duration,
    /// Silence of an endpoint that takes nothing.
    pub idle_timeout: Duration,
    /// From the end of the body to the response.
    pub response_timeout: Duration,
}

impl Upload {
    /// `incoming` is the body `client` sends.
    pub fn new(incoming: Incoming, client: Rc<Client>, limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            incoming: RefCell::new(incoming),
            client,
            limits,
            gate: RefCell::new(None),
            held: RefCell::new(Held::new()),
            bytes: Cell::new(0),
            taken: Cell::new(false),
            answered: Cell::new(false),
            ended: Cell::new(false),
            silent_since: Cell::new(None),
            silent: Cell::new(Duration::ZERO),
            fault: Cell::new(None),
        })
    }

    /// Holds the body back until the worker has asked for it with a 100, or has said nothing for a while
    /// (RFC 9110 §10.1.1: a client must not wait for ever, for there are workers that do not know the expectation).
    ///
    /// Reading the body is what makes our own 100 go to the client.
    pub fn wait_for_continue(&self) -> Arc<Notify> {
        let asked = Arc::new(Notify::new());
        let waiting = Arc::clone(&asked);
        let gate = async move {
            // Asked or not, the body may go.
            let _ = timeout(CONTINUE_PATIENCE, waiting.notified()).await;
        };
        self.gate.replace(Some(Box::pin(gate)));
        asked
    }

    /// Reads up to `bytes_max` of the body, so that a slow client keeps no endpoint waiting. Returns the length of a body that
    /// is held whole and has no trailers.
    ///
    /// # Errors
    /// What is wrong with the body, or that its client is too slow.
    pub async fn hold(&self, bytes_max: u64) -> Result<Option<u64>, Fault> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        poll_fn(|cx| {
            while self.held.borrow_mut().has_room(bytes_max) {
                match self.poll_client(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.held.borrow_mut().push(frame),
                    Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                    Poll::Ready(None) => self.held.borrow_mut().complete(),
                    Poll::Pending => {
                        let late = self.client.service_expired().map(Fault::late);
                        return late.map_or(Poll::Pending, |fault| Poll::Ready(Err(self.fail(fault))));
                    }
                }
                if self.incoming.borrow().is_end_stream() {
                    self.held.borrow_mut().complete();
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        self.client.renew();
        let held = self.held.borrow();
        if held.is_whole() {
            self.client.set_unread(false);
        }
        Ok(held.length())
    }

    /// Whether any of the body was read before an endpoint asked for it.
    pub fn is_held(&self) -> bool {
        let held = self.held.borrow();
        held.is_whole() || !held.is_empty()
    }

    /// Begins with the first piece again, if the whole body is held.
    pub fn rewind(&self) {
        self.held.borrow_mut().rewind();
        self.ended.set(false);
        // Of an empty body nobody asks for a piece.
        let empty = self.held.borrow().is_whole() && self.held.borrow().is_at_end();
        if empty {
            self.ends();
        }
    }

    /// An endpoint is to get it: notes who is waited for.
    pub fn begins(&self) {
        match self.silent_since.get() {
            // The endpoint before this one has waited for the client already.
            Some(since) if !self.held.borrow().is_whole() => {
                self.client.wait(Wait::RequestBody, since + self.limits.body_timeout);
            }
            _ => self.client.wait(Wait::RequestTaken, Instant::now() + self.limits.idle_timeout),
        }
    }

    /// Whether any of the body has been handed on, so that it cannot be sent again.
    pub fn taken(&self) -> bool {
        self.taken.get()
    }

    /// What was wrong with the body.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// The endpoint has answered: from now on the response is what is waited for, and a body that the worker has not asked
    /// for stays where it is.
    pub fn answered(&self) {
        self.answered.set(true);
        self.held.borrow_mut().let_go();
        if let Some(gate) = &mut *self.gate.borrow_mut() {
            *gate = Box::pin(std::future::pending());
        }
    }

    /// Whether all of the body has been handed on.
    pub fn ended(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.held.borrow().is_empty() && self.incoming.borrow().is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let held = self.held.borrow();
        match (held.is_empty(), held.length()) {
            (true, _) => self.incoming.borrow().size_hint(),
            (false, Some(length)) => SizeHint::with_exact(length),
            // The fields say how it is framed.
            (false, None) => SizeHint::default(),
        }
    }

    pub(super) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        std::task::ready!(self.wait_at_gate(cx));
        let (held, whole) = {
            let mut held = self.held.borrow_mut();
            (held.next(), held.is_whole())
        };
        let frame = match held {
            Some(frame) => Some(Ok(frame)),
            None if whole => None,
            None => std::task::ready!(self.poll_client(cx)),
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.handed_on(whole);
                Some(Ok(frame))
            }
            Some(Err(fault)) => Some(Err(fault)),
            None => {
                self.ends();
                None
            }
        })
    }

    /// The next piece from the client.
    fn poll_client(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = {
            let mut incoming = self.incoming.borrow_mut();
            Pin::new(&mut *incoming).poll_frame(cx)
        };
        match frame {
            Poll::Pending => {
                self.silence_begins();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.pass(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.fail(broken(&error))))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    /// A piece is on its way to an endpoint. What is held whole can be sent again.
    fn handed_on(&self, held_whole: bool) {
        self.taken.set(self.taken.get() || !held_whole);
        let ended = match held_whole {
            true => self.held.borrow().is_at_end(),
            false => self.is_end_stream(),
        };
        if ended {
            self.ends();
        } else if !self.answered.get() {
            self.client.wait(Wait::RequestTaken, Instant::now() + self.limits.idle_timeout);
        }
    }

    fn wait_at_gate(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.gate.borrow_mut();
        if let Some(closed) = &mut *gate {
            std::task::ready!(closed.as_mut().poll(cx));
            *gate = None;
        }
        Poll::Ready(())
    }

    fn pass(&self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        let frame = match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(allowed(trailers)),
            Err(data) => data,
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.bytes.set(self.bytes.get() + length);
        if self.bytes.get() > self.limits.bytes_max {
            return Err(self.fail(Fault::BodyTooLarge));
        }
        if let Some(since) = self.silent_since.take() {
            self.silent.set(self.silent.get() + since.elapsed());
            if self.is_too_slow() {
                return Err(self.fail(Fault::SlowBody));
            }
        }
        Ok(frame)
    }

    /// Only time in which we waited for the client counts: a slow endpoint is not its fault.
    fn is_too_slow(&self) -> bool {
        let silent = self.silent.get();
        silent > RATE_GRACE && (self.bytes.get() as f64) < self.limits.rate_min as f64 * silent.as_secs_f64()
    }

    fn silence_begins(&self) {
        if self.silent_since.get().is_none() {
            let now = Instant::now();
            self.silent_since.set(Some(now));
            if !self.answered.get() {
                self.client.wait(Wait::RequestBody, now + self.limits.body_timeout);
            }
        }
    }

    fn ends(&self) {
        self.ended.set(true);
        self.client.set_unread(false);
        if !self.answered.get() {
            self.client.wait(Wait::Response, Instant::now() + self.limits.response_timeout);
        }
    }

    fn fail(&self, fault: Fault) -> Fault {
        self.fault.set(Some(fault));
        fault
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("bytes", &self.bytes).field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// Whether a body broke off because its client left or because it is malformed.
fn broken(error: &hyper::Error) -> Fault {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Fault::BadBody,
        _ => Fault::ClientGone,
    }
}

/// Half of what curl waits. Meanwhile nothing is read of the client, so that its leaving is not noticed either: that must
/// not take longer than a second.
const CONTINUE_PATIENCE: Duration = Duration::from_millis(500);
const RATE_GRACE: Duration = Duration::from_secs(10);
