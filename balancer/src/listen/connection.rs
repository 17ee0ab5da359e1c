//! One client connection from accept to close.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::client::{Client, Expired};
use super::close;
use super::parked::Parked;
use super::registry::{Registered, Registry};
use super::threads::Counted;
use super::watched::Watched;
use super::{Service, Socket};

/// One client connection, and what it shares with the others of its thread.
pub(super) struct Connection<S: Service> {
    pub(super) client: Rc<Client>,
    pub(super) registered: Registered,
    pub(super) counted: Counted,
    pub(super) service: Rc<S>,
    pub(super) registry: Rc<Registry>,
    pub(super) parked: Rc<Parked>,
    pub(super) http: http1::Builder,
    pub(super) header_bytes_max: usize,
}

impl<S: Service> Connection<S> {
    /// Serves requests until one side ends the connection, and ends it so that the last answer arrives; or until it has been
    /// idle for a while, and parks it.
    pub(super) async fn run(self, socket: Socket) {
        let state = Rc::new(self.service.connected(&self.client));
        let (mut socket, mut read) = (socket, Bytes::new());
        loop {
            let end;
            (end, socket, read) = self.serve(&state, socket, read).await;
            match end {
                // The beginning of a request came with the one before: the parser goes on with it, and the time for it runs.
                End::Parked if !read.is_empty() => {}
                End::Parked => {
                    drop(self.registered);
                    return self.parked.enter(socket, self.client.peer(), self.client.begun(), self.counted);
                }
                end => break self.close(end, socket, read).await,
            }
        }
        drop((self.registered, self.counted));
    }

    /// Serves requests until the connection ends; then there is its socket, and what has been read and not served.
    async fn serve(&self, state: &Rc<S::Connection>, socket: Socket, read: Bytes) -> (End, Socket, Bytes) {
        let client = &self.client;
        let mut connection = {
            let watched = Watched::new(socket, Rc::clone(client), self.header_bytes_max, read);
            let (client, service, state) = (Rc::clone(client), Rc::clone(&self.service), Rc::clone(state));
            let answer = move |request: Request<Incoming>| {
                let (client, service, state) = (Rc::clone(&client), Rc::clone(&service), Rc::clone(&state));
                client.request_begins();
                client.set_unread(!request.body().is_end_stream());
                async move {
                    let ending = Ending(client);
                    let response = service.answer(state, request).await;
                    Ok::<_, Infallible>(response.map(|body| Answer { body, _ending: ending }))
                }
            };
            self.http.serve_connection(TokioIo::new(watched), service_fn(answer))
        };
        let mut draining = false;
        let end = poll_fn(|cx| {
            client.set_waker(cx.waker());
            match client.expired() {
                None | Some(Expired::Service(_)) => {}
                Some(expired) => return Poll::Ready(End::Expired(expired)),
            }
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(End::Http(result));
            }
            // Polled first, so that a request that is already here is served.
            if self.registry.is_draining() && !draining {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
                return Pin::new(&mut connection).poll(cx).map(End::Http);
            }
            if client.may_be_parked() {
                return Poll::Ready(End::Parked);
            }
            Poll::Pending
        })
        .await;
        let rest = connection.into_parts();
        let (socket, unasked) = rest.io.into_inner().into_parts();
        let read = if unasked.is_empty() { rest.read_buf } else { [rest.read_buf, unasked].concat().into() };
        (end, socket, read)
    }

    /// What is rarely waited for waits on the heap, so that the task of every connection stays small.
    async fn close(&self, end: End, socket: Socket, read: Bytes) {
        let client = &self.client;
        match end {
            // Between requests the parser takes a failed read for the end.
            End::Http(_) if client.line_is_too_long(self.header_bytes_max) => {
                let refusal = Refusal::TargetTooLong;
                let id = self.service.refused(client, refusal);
                Box::pin(close::with_answer(socket, refusal, id)).await;
            }
            End::Http(Ok(())) => match client.taken_over() {
                Some(takeover) => takeover(socket, read).await,
                None if client.is_unread() => Box::pin(close::lingering(socket)).await,
                None => {}
            },
            End::Http(Err(error)) if error.is_parse() => {
                self.service.refused(client, Refusal::of(&error));
                Box::pin(close::lingering(socket)).await;
            }
            End::Http(Err(_)) if client.must_reset() => socket.reset_on_close(),
            End::Http(Err(_)) => {}
            End::Expired(Expired::Header) => {
                let refusal = Refusal::SlowHeader;
                let id = self.service.refused(client, refusal);
                Box::pin(close::with_answer(socket, refusal, id)).await;
            }
            // What the client did not take would fill the kernel's memory for as long as it likes.
            End::Expired(Expired::Stalled) => socket.reset_on_close(),
            End::Expired(_) if client.must_reset() => socket.reset_on_close(),
            End::Expired(_) | End::Parked => {}
        }
    }
}

/// A request that never reached the service, and has been answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP as RFC 9112 has it.
    Malformed,
    /// Its request line is longer than `header_bytes_max`, or its target than the parser's bound.
    TargetTooLong,
    /// Its header section is longer than `header_bytes_max` or has more than 100 fields.
    HeaderTooLarge,
    /// Its header section was not complete within `header_timeout`.
    SlowHeader,
    /// There are `connections_max` connections already.
    ConnectionsMax,
    /// There is no descriptor left for its connection.
    DescriptorLimit,
}

impl Refusal {
    /// The status the client got.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::SlowHeader => StatusCode::REQUEST_TIMEOUT,
            Self::ConnectionsMax | Self::DescriptorLimit => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "bad_request",
            Self::TargetTooLong => "target_too_long",
            Self::HeaderTooLarge => "header_too_large",
            Self::SlowHeader => "slow_header",
            Self::ConnectionsMax => "connections_max",
            Self::DescriptorLimit => "descriptor_limit",
        }
    }

    fn of(error: &hyper::Error) -> Self {
        // The parser says what it answered only in words.
        match error.to_string() {
            text if text.contains("URI too long") => Self::TargetTooLong,
            _ if error.is_parse_too_large() => Self::HeaderTooLarge,
            _ => Self::Malformed,
        }
    }
}

enum End {
    Http(hyper::Result<()>),
    Expired(Expired),
    /// Between requests, idle for a while.
    Parked,
}

/// A service's response body, whose end is the end of the exchange.
struct Answer<B> {
    body: B,
    _ending: Ending,
}

/// Its drop begins the wait for the next request, whether a response was written, failed or was never made.
struct Ending(Rc<Client>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.response_ends();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
