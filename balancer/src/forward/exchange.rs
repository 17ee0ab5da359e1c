//! One request and its answer: what it waits for, and whom the news of it are told.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};

use super::admit::Admitted;
use super::error::{Fault, Party};
use super::fields::{ClientFields, X_REQUEST_ID};
use super::here::{Here, by_tls};
use super::waits::Waits;
use crate::config::ClientLimits;
use crate::http1::{BodyLength, Fields, Name, RequestHead, ResponseHead};
use crate::listen::{self, Stream};
use crate::net::{Buffer, Client};
use crate::observe::{Record, RequestId, http_date};

/// RFC 6797 §6.1. What a worker says itself stays.
const STRICT_TRANSPORT_SECURITY: &str = "Strict-Transport-Security";

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

impl<'a> Exchange<'a> {
    /// The request of `stream`; `None` where there is none.
    pub fn new(stream: &'a mut Stream, client: &'a ClientFields, own: RequestId, record: Record) -> Option<Self> {
        let head = Arc::clone(stream.head()?);
        let waits = Waits::new(Rc::clone(stream.alarm()), stream.complete());
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

    /// Answers without an endpoint, and that is all. A client is stalled after `patience`.
    pub async fn answer_here(&mut self, here: Here, patience: Duration) {
        let mut head = ResponseHead::new(here.status());
        if let Here::Elsewhere(place) = &here {
            head.fields.append("Location", place);
        }
        let body = here.body();
        self.record.answered(head.status);
        self.respond(&mut head, BodyLength::Known(body.len() as u64), false);
        if self.head.method != Method::HEAD && !body.is_empty() {
            self.record.sent(body.len());
            self.stream.send(Buffer::copy_of(body));
        }
        self.stream.finish(&Fields::default());
        self.flush(patience).await;
    }

    /// Where a client without TLS is to ask instead, if `has_certificate` says so of its host: at `port`, unless it has found the usual
    /// one. A proxy that is trusted has spoken to the client as it wants.
    pub fn place_by_tls(
        &self,
        admitted: &Admitted<'_>,
        port: u16,
        has_certificate: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        if self.client.is_encrypted() || self.client.are_trusted() {
            return None;
        }
        by_tls(admitted.host, &admitted.target, port, has_certificate)
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
        if let Some(hsts) = self.client.hsts()
            && !head.fields.iter().any(|field| field.spelled.eq_ignore_ascii_case(STRICT_TRANSPORT_SECURITY.as_bytes()))
        {
            head.fields.append(STRICT_TRANSPORT_SECURITY, hsts.as_bytes());
        }
        let is_dated = head.fields.first(Name::Date).is_some();
        if !is_dated && head.status != StatusCode::SWITCHING_PROTOCOLS {
            head.fields.append("Date", &http_date());
        }
        self.stream.respond(head, length, close);
    }

    /// A worker has answered. Its answer tells the id of its request where that is wished, unless it does so already.
    pub(super) fn answered(&mut self, head: &mut ResponseHead, limits: &ClientLimits) {
        self.record.answered(head.status);
        if limits.expose_request_id && head.fields.called(X_REQUEST_ID).is_none() {
            head.fields.append(X_REQUEST_ID, self.own.id());
        }
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
