//! One request and its answer: what it waits for, and whom the news of it are told.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::error::{Fault, Party};
use super::fields::{ClientFields, X_REQUEST_ID};
use crate::http1::{BodyLength, Fields, Name, RequestHead, ResponseHead};
use crate::listen::{self, Alarm, Stream};
use crate::net::{Buffer, Client};
use crate::observe::{Record, RequestId, http_date};

/// A request that is being answered.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) head: Arc<RequestHead>,
    pub(super) client: &'a ClientFields,
    pub(super) own: RequestId,
    pub(super) record: Record,
    pub(super) waits: Waits,
}

/// What an exchange waits for, and when that is too long.
#[derive(Debug)]
pub(super) struct Waits {
    alarm: Rc<Alarm>,
    wait: Option<(Wait, Instant)>,
    whole: Option<Instant>,
    stalled: Option<Instant>,
    /// When to look how fast the client is, and how often from then on.
    look: Option<(Instant, Duration)>,
    /// The time, if it has come since that was asked for.
    looks: Option<Instant>,
    /// The time, if nothing was waited for since it was looked at.
    clock: Option<Instant>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The client sends the next piece of its request body.
    RequestBody,
    /// The disk has written or read a piece of the request body.
    Disk,
    /// An endpoint has room.
    Place,
    /// The endpoint takes the next piece of the request body.
    RequestTaken,
    /// The endpoint answers.
    Response,
    /// The endpoint sends the next piece of the response body.
    ResponseBody,
    /// All of it.
    Whole,
    /// The client takes what waits for it.
    ResponseTaken,
    /// Something goes through the tunnel.
    Tunnel,
}

impl<'a> Exchange<'a> {
    /// The request of `stream`; `None` where there is none.
    pub fn new(stream: &'a mut Stream, client: &'a ClientFields, own: RequestId, record: Record) -> Option<Self> {
        let head = Arc::clone(stream.head()?);
        let (alarm, clock) = (Rc::clone(stream.alarm()), Some(stream.complete()));
        let waits = Waits { alarm, wait: None, whole: None, stalled: None, look: None, looks: None, clock };
        Some(Self { stream, head, client, own, record, waits })
    }

    /// Its head, as it came.
    pub fn head(&self) -> &Arc<RequestHead> {
        &self.head
    }

    /// Its client, where it is one and not a proxy that does not say who.
    pub(super) fn one_client(&self) -> Option<Client> {
        let client = self.record.client();
        client.filter(|_| !self.client.are_trusted() || client != self.stream.peer().ip()).map(Client::of)
    }

    /// Its story.
    pub fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Answers 200 with nothing, and that is all. A client is stalled after `patience`.
    pub async fn answer_here(&mut self, patience: Duration) {
        self.record.answered(StatusCode::OK);
        self.respond(&mut ResponseHead::new(StatusCode::OK), BodyLength::Known(0), false);
        self.stream.finish(&Fields::default());
        self.flush(patience).await;
    }

    /// Answers with what went wrong, in words, and the id under which the log has it. A client is stalled after `patience`.
    pub async fn explain(&mut self, fault: Fault, patience: Duration) {
        let (party, status, reason) = fault.explain();
        self.record.rejected(status, reason);
        if matches!(fault, Fault::ClientGone | Fault::ClientStalled | Fault::ClientSlow) {
            // There is nobody to be told; 499 stands in the log alone.
            return self.stream.cut();
        }
        let text = listen::text(status, reason, self.own.text());
        let mut head = ResponseHead::new(status);
        head.fields.append("Content-Type", b"text/plain; charset=utf-8");
        head.fields.append(X_REQUEST_ID, self.own.id());
        if let Some(seconds) = fault.retry_after() {
            head.fields.append("Retry-After", itoa::Buffer::new().format(seconds).as_bytes());
        }
        // What follows on the connection of a client in error may be anything.
        self.respond(&mut head, BodyLength::Known(text.len() as u64), party == Party::Client);
        if self.head.method != Method::HEAD {
            self.record.sent(text.len());
            self.stream.send(Buffer::copy_of(text.as_bytes()));
        }
        self.stream.finish(&Fields::default());
        self.flush(patience).await;
    }

    /// Begins the answer to the client.
    pub(super) fn respond(&mut self, head: &mut ResponseHead, length: BodyLength, close: bool) {
        // RFC 9110 §6.6.1: whoever has a clock adds what the origin has left out.
        let is_dated = head.fields.first(Name::Date).is_some();
        if !is_dated && head.status != StatusCode::SWITCHING_PROTOCOLS {
            head.fields.append("Date", &http_date());
        }
        self.stream.respond(head, length, close);
    }

    /// The client has all of the answer, or will never have it.
    pub(super) fn end(&mut self) {
        let now = self.waits.now();
        self.record.over(now);
        self.stream.set_begun(now);
    }

    async fn flush(&mut self, patience: Duration) {
        poll_fn(|cx| {
            match self.poll_flush(cx, patience) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending if self.waits.late().is_none() => return Poll::Pending,
                Poll::Pending | Poll::Ready(Err(_)) => self.stream.cut(),
            }
            Poll::Ready(())
        })
        .await;
        self.end();
    }

    /// Writes what waits for the client, who is stalled when it takes nothing for `patience`.
    ///
    /// # Errors
    /// [`Fault::ClientGone`].
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<Result<(), Fault>> {
        let before = self.stream.written();
        match self.stream.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.waits.stalled = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::ClientGone)),
            Poll::Pending => {
                if self.waits.stalled.is_none() || self.stream.written() != before {
                    self.waits.stalled = Some(self.waits.now() + patience);
                }
                Poll::Pending
            }
        }
    }
}

impl Waits {
    /// The time. It is looked at once between two waits.
    pub(super) fn now(&mut self) -> Instant {
        *self.clock.get_or_insert_with(Instant::now)
    }

    /// What is waited for, and when that is too long.
    pub(super) fn wait(&mut self, wait: Wait, until: Instant) {
        self.wait = Some((wait, until));
    }

    /// Others have their turn: the time will be another.
    pub(super) fn pause(&mut self) {
        self.clock = None;
    }

    /// Whether that is waited for.
    pub(super) fn is(&self, wait: Wait) -> bool {
        self.wait.is_some_and(|(other, _)| other == wait)
    }

    /// Nothing is waited for.
    pub(super) fn over(&mut self) {
        self.wait = None;
    }

    /// When the whole request must be answered.
    pub(super) fn whole_until(&mut self, until: Option<Instant>) {
        self.whole = until;
    }

    /// Has [`Self::looks`] tell the time so often, at each tick at most, or no more.
    pub(super) fn look_every(&mut self, period: Option<Duration>) {
        match (period, &mut self.look) {
            (None, look) => (*look, self.looks) = (None, None),
            (Some(period), Some((_, every))) => *every = period,
            (Some(period), None) => self.look = Some((self.now() + period, period)),
        }
    }

    /// The time, if it is time to look how fast the client is; told behind [`Self::late`].
    pub(super) fn looks(&mut self) -> Option<Instant> {
        self.looks.take()
    }

    /// The client has taken something: it is stalled no sooner than then.
    pub(super) fn stalled_at(&mut self, until: Instant) {
        self.stalled = self.stalled.map(|_| until);
    }

    /// Nothing is waited for any more, and for ever.
    pub(super) fn end(&mut self) {
        (self.wait, self.whole, self.stalled, self.look, self.clock) = (None, None, None, None, None);
        self.alarm.set(None);
    }

    /// What has lasted too long; asked by whoever has nothing else to do, after it has looked for what it waits for: behind a pause
    /// of the whole machine both may be there.
    pub(super) fn late(&mut self) -> Option<Wait> {
        self.pause();
        let rung = self.alarm.rung();
        if let (Some(now), Some((at, every))) = (rung, &mut self.look)
            && now >= *at
        {
            self.looks = Some(now);
            *at = now + *every;
        }
        let late = rung.and_then(|now| {
            let over = |until: Option<Instant>| until.is_some_and(|until| now >= until);
            if over(self.whole) {
                return Some(Wait::Whole);
            }
            if over(self.stalled) {
                return Some(Wait::ResponseTaken);
            }
            self.wait.filter(|(_, until)| now >= *until).map(|(wait, _)| wait)
        });
        let next = [self.whole, self.stalled, self.wait.map(|(_, until)| until), self.look.map(|(at, _)| at)];
        self.alarm.set(next.into_iter().flatten().min());
        late
    }
}
