//! One client connection from accept to close.
//!
//! Decides when a head is there, when a connection goes on to its next request, and when it is parked. Called by the task that serves it.
//! Never looks at what a request wants: the [`Service`] answers.

pub(super) mod announced;
mod answering;
#[cfg(feature = "http2")]
mod frames;
#[cfg(not(feature = "http2"))]
#[path = "no_frames.rs"]
mod frames;
#[cfg(feature = "http2")]
mod http2;
mod outgoing;
pub(super) mod service;
pub(super) mod stream;
pub(super) mod tasks;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop::consume_budget;

use super::accept::refusing::Refusing;
use super::accept::threads::Counted;
use super::close;
use super::handshake::{Failed, Shaking};
use super::idle::parked::Parked;
use super::idle::registry::{Registered, Registry};
use super::refusal::Refusal;
use crate::config::ClientLimits;
use crate::http1::{Bounds, RequestHead, Search};
#[cfg(feature = "http2")]
use crate::net::Socket;
use crate::net::{Client, take_fields};
use service::Service;
use stream::{After, Stream};

/// One client connection, and what it shares with the others of its thread.
pub(super) struct Connection<S: Service> {
    pub(super) stream: Stream,
    /// How far the head of the next request is; `None` before its first byte.
    pub(super) arriving: Option<Search>,
    pub(super) registered: Registered,
    pub(super) counted: Counted,
    pub(super) service: Rc<S>,
    pub(super) registry: Rc<Registry>,
    pub(super) parked: Rc<Parked>,
    pub(super) refusing: Rc<Refusing>,
    pub(super) shaking: Rc<Shaking>,
    pub(super) limits: Rc<RefCell<ClientLimits>>,
}

/// What comes after an answer, or at the beginning.
enum Next {
    Request,
    /// What has come is the preface of HTTP/2.
    #[cfg(feature = "http2")]
    Http2,
    /// What has come is no request.
    Refused(Refusal),
    /// Nothing for a while.
    Idle,
    /// The end: of the client's own, of its time, or the one that its last answer asks for.
    End(After),
}

impl<S: Service> Connection<S> {
    /// Serves requests until one side ends the connection, and ends it so that the last answer arrives; or until it has been
    /// idle for a while, and parks it.
    pub(super) async fn run(mut self) {
        let is_announced = announced::is_wanted(self.stream.peer(), &self.limits.borrow().proxy_protocol_from);
        let mut heard = if is_announced { Box::pin(self.hear_client()).await } else { Ok(()) };
        if heard.is_ok() && self.stream.socket.greets() {
            heard = Box::pin(self.shake_hands()).await;
        }
        let state = self.service.connected(self.stream.peer(), self.stream.is_encrypted());
        let mut next = match heard {
            // What has come with the connection came when it was accepted.
            Ok(()) => self.next_request(Some(self.stream.begun())).await,
            Err(next) => next,
        };
        #[cfg(feature = "http2")]
        if matches!(next, Next::Http2) {
            return Box::pin(http2::serve(self.into_http2(state))).await;
        }
        if matches!(next, Next::Request) {
            // On the heap, and no longer than requests follow each other: an idle connection has no state of a request.
            next = Box::pin(self.answer_those_that_follow(&state)).await;
        }
        match next {
            Next::Refused(refusal @ Refusal::ConnectionsMax) => {
                let id = self.service.refused(self.stream.peer(), self.stream.begun(), refusal);
                let refused = self.refusing.enter();
                // Others wait for the place.
                drop(self.counted);
                Box::pin(self.refusing.tell(refused, self.stream.socket, id)).await;
            }
            Next::Refused(refusal) => {
                let id = self.service.refused(self.stream.peer(), self.stream.begun(), refusal);
                Box::pin(close::with_answer(self.stream.socket, refusal, id)).await;
            }
            Next::Idle => {
                let (peer, since) = (self.stream.peer(), self.stream.begun());
                drop(self.registered);
                self.parked.enter(self.stream.socket, peer, since, self.counted);
            }
            Next::End(After::Linger) => Box::pin(close::lingering(self.stream.socket)).await,
            Next::End(After::Reset) => self.stream.socket.reset_on_close(),
            #[cfg(feature = "http2")]
            Next::Http2 => {}
            Next::End(_) | Next::Request if self.stream.is_encrypted() => {
                let limit = self.limits.borrow().body_timeout;
                Box::pin(close::with_goodbye(self.stream.socket, limit)).await;
            }
            Next::End(After::Close | After::Next) | Next::Request => {}
        }
    }

    /// Waits until the proxy in front of us has told who the client is.
    async fn hear_client(&mut self) -> Result<(), Next> {
        let within = self.limits.borrow().header_timeout;
        let heard = announced::client(&mut self.stream, within).await;
        let peer = heard.map_err(|refusal| refusal.map_or(Next::End(After::Close), Next::Refused))?;
        self.stream.set_peer(peer);
        let has_room = self.counted.is_for(peer.ip().map(Client::of), &self.parked, &self.registry);
        has_room.then_some(()).ok_or(Next::Refused(Refusal::ConnectionsMax))
    }

    /// It goes on in HTTP/2.
    #[cfg(feature = "http2")]
    fn into_http2(self, state: S::Connection) -> http2::Arrival<S> {
        let Self { stream, registered, counted, service, registry, limits, .. } = self;
        let (peer, begun) = (stream.peer(), stream.begun());
        let Stream { socket, inbox, alarm, .. } = stream;
        http2::Arrival { socket, inbox, peer, begun, state, alarm, registered, counted, service, registry, limits }
    }

    /// Shakes hands with a client of an encrypted listener, within `header_timeout`.
    async fn shake_hands(&mut self) -> Result<(), Next> {
        let (begun, peer, stream) = (self.stream.begun(), self.stream.peer(), &mut self.stream);
        stream.alarm.set(Some(begun + self.limits.borrow().header_timeout));
        stream.alarm.unasked(self.counted.cell().map(|cell| (begun, cell)));
        let shaken =
            self.shaking.with((stream.socket.take(), std::mem::take(&mut stream.inbox), peer), &stream.alarm).await;
        stream.alarm.set(None);
        match shaken {
            Ok(socket) => {
                stream.socket = socket;
                Ok(())
            }
            Err(Failed::Plain(socket)) => {
                stream.socket = socket;
                Err(Next::Refused(Refusal::PlainOnTls))
            }
            Err(Failed::Ended) => Err(Next::End(After::Close)),
            Err(Failed::Broken(error)) => {
                tracing::debug!(?peer, %error, "no handshake");
                Err(Next::End(After::Close))
            }
        }
    }

    /// Answers the request that has come, and each that follows before the connection is idle for a while.
    async fn answer_those_that_follow(&mut self, state: &S::Connection) -> Next {
        loop {
            self.service.answer(state, &mut self.stream).await;
            match self.stream.ends() {
                // What is answered here, of a client that asks as fast, costs no other budget.
                After::Next => consume_budget().await,
                end => return Next::End(end),
            }
            match self.next_request(None).await {
                Next::Request => {}
                next => return next,
            }
        }
    }

    /// Waits for the head of the next request; what is here already came at `now`, if that is known.
    async fn next_request(&mut self, mut now: Option<Instant>) -> Next {
        let is_new = now.is_some();
        poll_fn(|cx| {
            let next = self.poll_next(cx, now.take(), is_new);
            let unasked = self.counted.cell().filter(|_| next.is_pending());
            self.stream.alarm.unasked(unasked.map(|cell| (self.stream.begun(), cell)));
            next
        })
        .await
    }

    /// `is_new`: nothing was asked here yet.
    fn poll_next(&mut self, cx: &mut Context<'_>, mut now: Option<Instant>, is_new: bool) -> Poll<Next> {
        let head = self.limits.borrow().header_bytes_max;
        let bounds = Bounds { line: head.min(REQUEST_LINE_MAX), head };
        let stream = &mut self.stream;
        loop {
            if !stream.inbox.is_empty() {
                if self.arriving.is_none() {
                    let now = *now.get_or_insert_with(Instant::now);
                    stream.set_begun(now);
                    stream.alarm.set(Some(now + self.limits.borrow().header_timeout));
                }
                let search = self.arriving.get_or_insert_default();
                match RequestHead::read(stream.inbox.unread(), search, bounds, take_fields) {
                    Ok(None) => {}
                    Ok(Some((head, end))) => {
                        stream.inbox.consume(end);
                        self.arriving = None;
                        stream.alarm.set(None);
                        stream.begins(head, now.unwrap_or_else(Instant::now));
                        return Poll::Ready(Next::Request);
                    }
                    // Asked for here only, where it costs those nothing that speak HTTP/1.
                    #[cfg(feature = "http2")]
                    Err(_)
                        if is_new
                            && begins_http2(stream.inbox.unread())
                            && may_speak_http2(&stream.socket, self.limits.borrow().h2c) =>
                    {
                        if stream.inbox.len() >= PREFACE.len() {
                            return Poll::Ready(Next::Http2);
                        }
                    }
                    Err(_) if stream.inbox.unread().starts_with(TLS_HANDSHAKE) => {
                        return Poll::Ready(Next::Refused(Refusal::TlsOnPlain));
                    }
                    Err(fault) => return Poll::Ready(Next::Refused(Refusal::NoRequest(fault))),
                }
            }
            match stream.socket.poll_read(cx, &mut stream.inbox) {
                Poll::Ready(Ok(length)) if length > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Next::End(After::Close)),
                Poll::Pending => return self.poll_silent(is_new),
            }
        }
    }

    /// What becomes of a connection whose client has sent no whole head, and nothing more for now.
    #[inline]
    fn poll_silent(&mut self, is_new: bool) -> Poll<Next> {
        let stream = &mut self.stream;
        // Asked for behind what the client has sent, so that a request that is already here is served.
        if stream.alarm.is_dismissed() {
            let is_idle = self.arriving.is_none() && !is_new;
            let next = if is_idle { Next::End(After::Close) } else { Next::Refused(Refusal::ConnectionsMax) };
            return Poll::Ready(next);
        }
        let rung = stream.alarm.rung();
        match (self.arriving.is_some(), rung) {
            (true, Some(_)) => return Poll::Ready(Next::Refused(Refusal::SlowHeader)),
            (true, None) => return Poll::Pending,
            // Asked for last, so that a request that is already here is served. Who has just connected is about to send one, and would not
            // be told why it gets no answer.
            (false, rung) if self.registry.is_draining() && (rung.is_some() || !is_new) => {
                return Poll::Ready(Next::End(After::Close));
            }
            (false, _) => {}
        }
        let idle = |limit: Duration| stream.begun() + limit;
        let over = rung.is_some_and(|now| now >= idle(self.limits.borrow().keep_alive_timeout));
        if over {
            return Poll::Ready(Next::End(After::Close));
        }
        if rung.is_some() && stream.socket.may_rest() {
            return Poll::Ready(Next::Idle);
        }
        stream.alarm.set(Some(idle(PARK_AFTER.min(self.limits.borrow().keep_alive_timeout))));
        Poll::Pending
    }
}

/// Whether HTTP/2 may be spoken there: agreed on in the handshake where it is encrypted, elsewhere by `h2c`.
#[cfg(feature = "http2")]
fn may_speak_http2(socket: &Socket, h2c: bool) -> bool {
    socket.session().map_or(h2c, |session| session.speaks_http2())
}

/// Whether what has come is the beginning of the preface, or begins with it.
#[cfg(feature = "http2")]
fn begins_http2(bytes: &[u8]) -> bool {
    bytes.iter().zip(PREFACE).all(|(byte, expected)| byte == expected)
}

/// Its first line (RFC 9113 §3.4), which is no request line of HTTP/1 for that reason.
#[cfg(feature = "http2")]
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// However large header sections may be: nobody reads a longer target.
const REQUEST_LINE_MAX: usize = 64 * 1024;
/// How who speaks TLS begins: a record of a handshake (RFC 8446 §5.1). What follows says no more, and may come later.
const TLS_HANDSHAKE: &[u8] = b"\x16";
/// Who is silent for that long is hardly in the middle of a burst: taking a connection apart and building it again costs
/// as much as one more request.
const PARK_AFTER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Waker;

    use http::StatusCode;
    use tokio::runtime::{LocalOptions, LocalRuntime};
    use tokio::task::yield_now;

    use super::*;
    use crate::config;
    use crate::http1::{BodyLength, Fields, ResponseHead};
    use crate::listen::accept::threads::Threads;
    use crate::listen::idle::alarm::Alarm;
    use crate::net::{Buffer, Family, Peer, Socket};

    struct Nobody;

    impl Service for Nobody {
        type Connection = ();

        fn connected(&self, _: Peer, _: bool) {}

        async fn answer(&self, (): &(), _: &mut Stream) {}

        fn refused(&self, _: Peer, _: Instant, _: Refusal) -> String {
            String::new()
        }
    }

    /// Of the future that `begin` makes of an `A`.
    fn size_of_future<A, F>(_begin: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_takes_little_memory() {
        let size = size_of_future(|connection: Connection<Nobody>| connection.run());
        assert!(size <= 1024, "{size}");
    }

    /// A connection whose client is `other`, and the runtime it belongs to.
    fn connection() -> (LocalRuntime, Connection<Nobody>, UnixStream) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build_local(LocalOptions::default());
        let runtime = runtime.unwrap();
        let (ours, other) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (registry, alarm) = (Rc::new(Registry::default()), Rc::new(Alarm::default()));
        let (threads, _) = Threads::new(1, 1);
        let parked = runtime.block_on(async { Parked::new() }).unwrap();
        let config = config::parse("listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n", "test");
        let connection = Connection {
            registered: registry.enter(Rc::clone(&alarm)),
            stream: Stream::new(Socket::bare(ours.into(), Family::Unix), Peer::Unix, &registry, alarm),
            arriving: None,
            counted: threads.place(0, None),
            service: Rc::new(Nobody),
            registry,
            parked: Rc::new(parked),
            refusing: Rc::new(Refusing::for_threads(1)),
            shaking: Rc::new(Shaking::new(&Arc::default())),
            limits: Rc::new(RefCell::new(config.unwrap().client)),
        };
        (runtime, connection, other)
    }

    /// Polls a future once and drops it, as whoever chooses between several waits does.
    fn once<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// The output of the first of the futures that has one; each is polled once, and what the kernel has is heard between them.
    fn first<T>(runtime: &LocalRuntime, mut polled_once: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(output) = runtime.block_on(async { polled_once() }) {
                return output;
            }
            assert!(Instant::now() < until, "nothing comes");
            runtime.block_on(yield_now());
        }
    }

    #[test]
    fn who_has_just_connected_is_given_time_for_a_request_when_a_drain_begins() {
        let (runtime, mut connection, mut client) = connection();
        connection.registry.drain();
        let now = Instant::now();
        assert!(runtime.block_on(async { once(connection.next_request(Some(now))) }).is_none());
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert!(matches!(first(&runtime, || once(connection.next_request(Some(now)))), Next::Request));
        let next = runtime.block_on(async { once(connection.next_request(None)) });
        assert!(matches!(next, Some(Next::End(After::Close))));
    }

    #[test]
    fn who_sends_nothing_for_a_while_ends_with_the_drain() {
        let (runtime, mut connection, _client) = connection();
        connection.registry.drain();
        let now = Instant::now();
        assert!(runtime.block_on(async { once(connection.next_request(Some(now))) }).is_none());
        connection.stream.alarm.look(connection.stream.begun() + PARK_AFTER);
        let ended = runtime.block_on(async { once(connection.next_request(Some(now))) });
        assert!(matches!(ended, Some(Next::End(After::Close))));
    }

    #[test]
    fn progress_lives_in_the_connection_whatever_future_is_dropped() {
        let request = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n";
        for step in 1..=request.len() {
            let (runtime, mut connection, mut client) = connection();
            let mut pieces = request.chunks(step);
            let mut next = || pieces.next().is_some_and(|piece| client.write_all(piece).is_ok());
            let came = first(&runtime, || {
                next();
                once(connection.next_request(None))
            });
            assert!(matches!(came, Next::Request), "{step}");
            assert_eq!(connection.stream.head().unwrap().method, "POST");
            let mut body = Vec::new();
            loop {
                let piece = first(&runtime, || {
                    next();
                    once(poll_fn(|cx| connection.stream.poll_body(cx)))
                });
                match piece.unwrap() {
                    Some(piece) => body.extend_from_slice(piece.unread()),
                    None => break,
                }
            }
            assert_eq!(
                (body.as_slice(), connection.stream.take_trailers().called("t")),
                (&b"abcde"[..], Some(&b"1"[..]))
            );
        }
    }

    #[test]
    fn an_answer_goes_out_whole_however_little_the_client_takes_at_once() {
        let (runtime, mut connection, mut client) = connection();
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert!(matches!(first(&runtime, || once(connection.next_request(None))), Next::Request));
        let body: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
        let head = ResponseHead::new(StatusCode::OK);
        connection.stream.respond(&head, BodyLength::Known(body.len() as u64), false);
        body.chunks(50_000).for_each(|piece| connection.stream.send(Buffer::copy_of(piece)));
        connection.stream.finish(&Fields::default());
        client.set_nonblocking(true).unwrap();
        let (mut taken, mut room) = (Vec::new(), [0; 4_099]);
        first(&runtime, || {
            if let Ok(length) = client.read(&mut room) {
                taken.extend_from_slice(&room[..length]);
            }
            once(poll_fn(|cx| connection.stream.poll_flush(cx)))
        })
        .unwrap();
        assert!(matches!(connection.stream.ends(), After::Next));
        drop(connection);
        client.set_nonblocking(false).unwrap();
        client.read_to_end(&mut taken).unwrap();
        let start = taken.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(taken[start..] == body[..], "{} of {}", taken.len() - start, body.len());
    }
}
