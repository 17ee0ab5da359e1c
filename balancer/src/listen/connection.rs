//! One client connection from accept to close.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
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
use super::{Refusal, Service, Socket, framing};

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
                let same = client.announced() == Some(as_parsed(request.body()));
                client.request_begins();
                client.set_unread(!request.body().is_end_stream());
                async move {
                    if !same {
                        // Polled no more: the connection ends.
                        client.refuse(Refusal::BadFraming);
                        std::future::pending::<()>().await;
                    }
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
            if client.has_left() {
                return Poll::Ready(End::Left);
            }
            if client.refusal().is_some() {
                return Poll::Ready(End::Http(Ok(())));
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
        let refusal = match &end {
            End::Http(_) if client.refusal().is_some() => client.refusal(),
            End::Http(Err(error)) if error.is_parse() => Some(Refusal::of(error, &read)),
            End::Expired(Expired::Header) => Some(Refusal::SlowHeader),
            _ => None,
        };
        if client.must_reset() && (refusal.is_some() || matches!(end, End::Http(Ok(())))) {
            socket.end_on_close();
        }
        if let Some(refusal) = refusal {
            let id = self.service.refused(client, refusal);
            return Box::pin(close::with_answer(socket, refusal, id)).await;
        }
        match end {
            End::Http(Ok(())) => match client.taken_over() {
                Some(takeover) => takeover(socket, read).await,
                None if client.is_unread() => Box::pin(close::lingering(socket)).await,
                None => {}
            },
            End::Http(Err(_)) if client.must_reset() => socket.reset_on_close(),
            End::Http(Err(_)) => {}
            // What the client did not take would fill the kernel's memory for as long as it likes.
            End::Expired(Expired::Stalled) => socket.reset_on_close(),
            End::Expired(_) if client.must_reset() => socket.reset_on_close(),
            End::Expired(_) | End::Left | End::Parked => {}
        }
    }
}

enum End {
    Http(hyper::Result<()>),
    Expired(Expired),
    /// The client, while its request was with the service.
    Left,
    /// Between requests, idle for a while.
    Parked,
}

/// How the parser takes a body to be framed, before any of it is read.
fn as_parsed(body: &Incoming) -> framing::Body {
    match body.size_hint().exact() {
        Some(length) => framing::Body::Counted(length),
        None => framing::Body::Chunked,
    }
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
