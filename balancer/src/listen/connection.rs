//! One client connection from accept to close.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop::consume_budget;

use super::close;
use super::parked::Parked;
use super::registry::{Registered, Registry};
use super::stream::{After, Stream};
use super::threads::Counted;
use super::{Refusal, Service};
use crate::config::ClientLimits;
use crate::http1::{Bounds, RequestHead, Search};
use crate::net::take_fields;

/// One client connection, and what it shares with the others of its thread.
pub(super) struct Connection<S: Service> {
    pub(super) stream: Stream,
    pub(super) registered: Registered,
    pub(super) counted: Counted,
    pub(super) service: Rc<S>,
    pub(super) registry: Rc<Registry>,
    pub(super) parked: Rc<Parked>,
    pub(super) limits: Rc<ClientLimits>,
}

/// What comes after an answer, or at the beginning.
enum Next {
    Request,
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
        let state = self.service.connected(self.stream.peer());
        poll_fn(|cx| {
            self.stream.alarm.wakes(cx.waker());
            Poll::Ready(())
        })
        .await;
        // What has come with the connection came when it was accepted.
        let mut next = self.next_request(Some(self.stream.begun())).await;
        if matches!(next, Next::Request) {
            // On the heap, and no longer than requests follow each other: an idle connection has no state of a request.
            next = Box::pin(self.answer_those_that_follow(&state)).await;
        }
        match next {
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
            Next::End(After::Close | After::Next) | Next::Request => {}
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
        let head = self.limits.header_bytes_max;
        let bounds = Bounds { line: head.min(REQUEST_LINE_MAX), head };
        let (mut search, mut begun) = (Search::default(), false);
        poll_fn(|cx| self.poll_next(cx, bounds, &mut search, (&mut begun, now.take()))).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        bounds: Bounds,
        search: &mut Search,
        (begun, mut now): (&mut bool, Option<Instant>),
    ) -> Poll<Next> {
        let stream = &mut self.stream;
        loop {
            if !stream.inbox.is_empty() {
                if !*begun {
                    *begun = true;
                    let now = *now.get_or_insert_with(Instant::now);
                    stream.set_begun(now);
                    stream.alarm.set(Some(now + self.limits.header_timeout));
                }
                match search.request(stream.inbox.unread(), bounds) {
                    Ok(None) => {}
                    Ok(Some(end)) => {
                        let parsed = RequestHead::parse(&stream.inbox.unread()[..end], take_fields());
                        stream.inbox.consume(end);
                        return Poll::Ready(match parsed {
                            Ok(head) => {
                                stream.alarm.set(None);
                                stream.begins(head, now.unwrap_or_else(Instant::now));
                                Next::Request
                            }
                            Err(fault) => Next::Refused(Refusal::NoRequest(fault)),
                        });
                    }
                    Err(fault) => return Poll::Ready(Next::Refused(Refusal::NoRequest(fault))),
                }
            }
            match stream.socket.poll_read(cx, &mut stream.inbox) {
                Poll::Ready(Ok(length)) if length > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Next::End(After::Close)),
                Poll::Pending => break,
            }
        }
        let rung = stream.alarm.rung();
        match (*begun, rung) {
            (true, Some(_)) => return Poll::Ready(Next::Refused(Refusal::SlowHeader)),
            (true, None) => return Poll::Pending,
            // Asked for last, so that a request that is already here is served.
            (false, _) if self.registry.is_draining() => return Poll::Ready(Next::End(After::Close)),
            (false, _) => {}
        }
        let idle = |limit: Duration| stream.begun() + limit;
        let over = rung.is_some_and(|now| now >= idle(self.limits.keep_alive_timeout));
        if over {
            return Poll::Ready(Next::End(After::Close));
        }
        if rung.is_some() {
            return Poll::Ready(Next::Idle);
        }
        stream.alarm.set(Some(idle(PARK_AFTER.min(self.limits.keep_alive_timeout))));
        Poll::Pending
    }
}

/// However large header sections may be: nobody reads a longer target.
const REQUEST_LINE_MAX: usize = 64 * 1024;
/// Who is silent for that long is hardly in the middle of a burst: taking a connection apart and building it again costs
/// as much as one more request.
const PARK_AFTER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::net::Peer;

    struct Nobody;

    impl Service for Nobody {
        type Connection = ();

        fn connected(&self, _: Peer) {}

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
}
