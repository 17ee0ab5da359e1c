//! One try at one endpoint.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::admit::Admitted;
use super::body::{RequestBody, Upload};
use super::error::{Fault, Party};
use super::fields::{self, ClientFields, Framing, RequestFields};
use super::retry::{Failed, may_retry};
use super::scan::Scan;
use super::upstream::{self, Upstream, Upstreams};
use crate::config::AmbiguousFields;
use crate::endpoint::Noted;
use crate::listen::{Client, Wait};
use crate::pool::{Place, Pool};

/// What stays the same over all attempts at a request.
pub(super) struct Outbound<'a> {
    pub(super) pool: &'a Pool,
    pub(super) head: &'a Parts,
    pub(super) scan: &'a Scan<'a>,
    pub(super) admitted: &'a Admitted,
    pub(super) client: &'a Rc<Client>,
    pub(super) client_fields: &'a ClientFields,
    pub(super) own_fields: &'a RequestFields,
    pub(super) upload: Option<Rc<Upload>>,
    pub(super) framing: Framing,
    pub(super) ambiguous: AmbiguousFields,
}

impl Outbound<'_> {
    /// Sends the request to the endpoint of `place` and waits for the head of its response. `attempts` counts this one too.
    ///
    /// A kept connection that turns out to be closed is replaced silently: it says nothing about the endpoint, but for how long
    /// it keeps connections.
    pub(super) async fn attempt(
        &self,
        place: &mut Place,
        upstreams: &Upstreams,
        attempts: u32,
    ) -> Result<(Response<Incoming>, Box<Upstream>), Failed> {
        let endpoint = Arc::clone(place.endpoint());
        let (repeatable, now) = (self.upload.is_none() && self.head.method.is_idempotent(), Instant::now());
        let mut kept = match place.check_out(repeatable, now) {
            Some(idle) => Upstream::resume(idle, endpoint.address()).await.ok(),
            None if place.owns_connection() => None,
            None => upstreams.check_out(&endpoint, repeatable, now),
        };
        loop {
            let mut upstream = match kept.take() {
                Some(upstream) => upstream,
                None => {
                    self.client.renew();
                    // On the heap: opening is rare, and its state would be part of every request's.
                    let mut opening = Box::pin(Upstream::open(&endpoint, self.pool.timeouts().connect));
                    let opened = self.unless_late(|cx| opening.as_mut().poll(cx)).await;
                    let failed = |fault| Failed { fault, sent: false, held: self.held(), attempts };
                    opened.unwrap_or_else(Err).map_err(failed).inspect_err(|failed| self.blame(place, failed))?
                }
            };
            let was_used = upstream.was_used();
            let failed = match self.send(&mut upstream).await {
                Ok(response) => {
                    if was_used {
                        endpoint.idle_time().reused();
                    }
                    return Ok((response, upstream));
                }
                Err((fault, sent)) => Failed { fault, sent, held: self.held(), attempts },
            };
            if failed.fault == Fault::ClosedEarly && failed.sent {
                place.cut();
                if endpoint.is_of_worker() {
                    self.pool.cut(endpoint.id(), &self.head.method, self.admitted.target.path());
                }
            }
            let stale = was_used && failed.fault == Fault::ClosedEarly;
            match failed.sent {
                _ if !stale => self.blame(place, &failed),
                // It was closed while nobody used it; otherwise the request may be the reason.
                false => upstream::learn(&endpoint, &upstream),
                true => {}
            }
            if !(stale && may_retry(Failed { attempts: 0, ..failed }, &self.head.method, 1)) {
                return Err(failed);
            }
        }
    }

    /// Puts the request down where it goes, for the case that its worker dies of it.
    pub(super) fn note(&self, place: &mut Place) {
        if let Some(target) = self.admitted.target.path_and_query() {
            let (method, id, begun) = (&self.head.method, &self.own_fields.id, self.client.begun());
            place.note(|| Noted { method: method.clone(), target: target.clone(), id: id.clone(), begun });
        }
    }

    /// A request that took too long as a whole is the endpoint's fault if that had all of the time and all of the request.
    fn blame(&self, place: &mut Place, failed: &Failed) {
        let had_all = || failed.attempts == 1 && self.upload.as_ref().is_none_or(|upload| upload.ended());
        if failed.fault.party() == Party::Endpoint && (failed.fault != Fault::RequestTimeout || had_all()) {
            place.failed(&failed.fault);
        }
    }

    /// The error says too whether any of the request may have been seen.
    async fn send(&self, upstream: &mut Upstream) -> Result<Response<Incoming>, (Fault, bool)> {
        self.client.renew();
        match &self.upload {
            None => self.client.wait(Wait::Response, Instant::now() + self.pool.timeouts().response),
            Some(upload) => upload.begins(),
        }
        let mut sending = pin!(upstream.send(self.request()));
        let sent = self.unless_late(|cx| upstream.drive(cx, |cx| sending.as_mut().poll(cx)));
        match sent.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => {
                let sent = error.take_message().is_none();
                Err((self.judge(error.error()), sent))
            }
            Err(fault) => Err((fault, true)),
        }
    }

    /// Waits until it is too late for what is waited for.
    async fn unless_late<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Fault> {
        poll_fn(|cx| match poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => {
                self.client.service_expired().map_or(Poll::Pending, |wait| Poll::Ready(Err(Fault::late(wait))))
            }
        })
        .await
    }

    fn request(&self) -> Request<RequestBody> {
        let body = match &self.upload {
            Some(upload) => RequestBody::Upload(Rc::clone(upload)),
            None => RequestBody::Empty,
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.admitted.target.clone();
        *request.headers_mut() = fields::to_worker(
            self.head,
            self.scan,
            &self.admitted.host,
            self.framing,
            self.client_fields,
            self.own_fields,
            self.ambiguous,
        );
        if let Some(upload) = &self.upload
            && upload.is_held()
        {
            // The client has been told to go on already.
            upload.rewind();
            request.headers_mut().remove(header::EXPECT);
        } else if let Some(upload) = &self.upload
            && self.scan.expects_continue
        {
            let asked = upload.wait_for_continue();
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    asked.notify_one();
                }
            });
        }
        request
    }

    /// Whether the request could be sent once more.
    fn held(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| !upload.taken())
    }

    fn judge(&self, error: &hyper::Error) -> Fault {
        if let Some(fault) = self.upload.as_ref().and_then(|upload| upload.fault()) {
            return fault;
        }
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let too_much = io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData);
        if too_much || error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
            tracing::debug!(%error, "the endpoint's answer cannot be read");
            return Fault::BadResponse;
        }
        Fault::ClosedEarly
    }
}
