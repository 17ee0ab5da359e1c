//! What is known of one client connection while it lives: who, what it waits for, since when.
//!
//! A timer per wait would cost every request a few insertions into the runtime's wheel. Instead a wait is written down here
//! (two stores), and a tick of the thread looks at all its connections several times per shortest limit; see `registry`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::framing::Body;
use super::{Refusal, Socket};
use crate::config::ClientLimits;

/// One client connection. Lives on one thread.
pub struct Client {
    peer: Peer,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    wait: Cell<Option<(Wait, Instant)>>,
    deadline: Cell<Option<Instant>>,
    stalled_since: Cell<Option<Instant>>,
    expired: Cell<Option<Expired>>,
    waker: RefCell<Option<Waker>>,
    restful: Cell<bool>,
    unread: Cell<bool>,
    /// Whether the parser waits for bytes of the socket, and so would see its end.
    listening: Cell<bool>,
    /// Whether the next message has begun to arrive already.
    holds: Cell<bool>,
    /// Whether nobody has looked yet, in this poll, if the client is still there.
    doubted: Cell<bool>,
    left: Cell<bool>,
    /// How the body of the request that is arriving is framed.
    announced: Cell<Option<Body>>,
    serverwide: Cell<bool>,
    refusal: Cell<Option<Refusal>>,
    reset: Cell<bool>,
    takeover: RefCell<Option<Takeover>>,
}

/// Who connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Tcp(SocketAddr),
    /// Somebody on this machine.
    Unix,
}

/// What the service waits for on behalf of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The client sends the next piece of its request body.
    RequestBody,
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
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// No request for `keep_alive_timeout`.
    Idle,
    /// A header section not complete within `header_timeout`.
    Header,
    /// A client that took nothing of a response for `body_timeout`.
    Stalled,
    /// What the service waited for; it answers.
    Service(Wait),
}

/// Takes the socket over after the connection's last response, with what was read beyond the request.
pub type Takeover = Box<dyn FnOnce(Socket, Bytes) -> Pin<Box<dyn Future<Output = ()>>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests, or before the first byte.
    Idle,
    /// In a header section.
    Header,
    /// A request is with the service.
    Busy,
}

impl Client {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            wait: Cell::new(None),
            deadline: Cell::new(None),
            stalled_since: Cell::new(None),
            expired: Cell::new(None),
            waker: RefCell::new(None),
            restful: Cell::new(false),
            unread: Cell::new(false),
            listening: Cell::new(false),
            holds: Cell::new(false),
            doubted: Cell::new(false),
            left: Cell::new(false),
            announced: Cell::new(None),
            serverwide: Cell::new(false),
            refusal: Cell::new(None),
            reset: Cell::new(false),
            takeover: RefCell::new(None),
        }
    }

    /// Who connected.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// When the request that is with the service began to arrive; between requests, since when the connection is idle.
    pub fn begun(&self) -> Instant {
        self.since.get()
    }

    /// Notes what the service waits for and when that is too long.
    pub fn wait(&self, wait: Wait, until: Instant) {
        self.wait.set(Some((wait, until)));
    }

    /// Notes that the service waits for nothing but its client.
    pub fn wait_over(&self) {
        self.wait.set(None);
    }

    /// Notes when the whole request must be answered.
    pub fn whole_until(&self, until: Option<Instant>) {
        self.deadline.set(until);
    }

    /// What of the service's waits has expired.
    pub fn service_expired(&self) -> Option<Wait> {
        match self.expired.get() {
            Some(Expired::Service(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Whether the connection ends because the client took nothing of a response for too long.
    pub fn has_stalled(&self) -> bool {
        self.expired.get() == Some(Expired::Stalled)
    }

    /// Forgets an expired wait: the service goes on with another attempt.
    pub fn renew(&self) {
        self.wait.set(None);
        self.expired.set(None);
    }

    /// Notes whether a request body has not been read to its end, so that a close must not reset the connection before
    /// the client has read the answer.
    pub fn set_unread(&self, unread: bool) {
        self.unread.set(unread);
    }

    /// Whether a request body has not been read to its end.
    pub fn is_unread(&self) -> bool {
        self.unread.get()
    }

    /// Notes that only the close will end the response: should the response fail, the close must not look like its end.
    pub fn reset_on_failure(&self) {
        self.reset.set(true);
    }

    /// Hands the socket to `takeover` once the response that is under way (a 101) has been written.
    pub fn take_over(&self, takeover: Takeover) {
        self.takeover.replace(Some(takeover));
    }

    pub(super) fn taken_over(&self) -> Option<Takeover> {
        self.takeover.take()
    }

    pub(super) fn must_reset(&self) -> bool {
        self.reset.get()
    }

    /// Notes that something has come in.
    pub(super) fn bytes_read(&self) {
        // What is left of a body that was answered early is no request.
        if self.phase.get() == Phase::Idle && !self.unread.get() {
            self.enter(Phase::Header);
        }
    }

    /// Whether a header section is arriving.
    pub(super) fn is_in_header(&self) -> bool {
        self.phase.get() == Phase::Header
    }

    /// Whether a request is with the service, or its answer is not written yet.
    pub(super) fn is_answering(&self) -> bool {
        self.phase.get() == Phase::Busy || self.stalled_since.get().is_some()
    }

    /// Notes how the body of the request that is arriving is framed, and whether it is for the whole server.
    pub(super) fn announce(&self, body: Body, serverwide: bool) {
        self.announced.set(Some(body));
        self.serverwide.set(serverwide);
    }

    /// Whether the target of the request has neither path nor query.
    pub fn is_serverwide(&self) -> bool {
        self.serverwide.get()
    }

    /// How the body of the request is framed.
    pub(super) fn announced(&self) -> Option<Body> {
        self.announced.get()
    }

    /// Notes that what is arriving is no request.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refusal.set(Some(refusal));
    }

    /// Why what has arrived is no request.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get()
    }

    /// Notes whether the parser waits for bytes of the socket.
    pub(super) fn set_listening(&self, listening: bool) {
        self.listening.set(listening);
    }

    /// Notes whether something of the next request is here.
    pub(super) fn set_holds(&self, holds: bool) {
        self.holds.set(holds);
    }

    /// Whether nobody would notice the client's end at the moment; said once for each poll of the connection.
    pub(super) fn is_to_be_looked_at(&self) -> bool {
        self.phase.get() == Phase::Busy && self.doubted.take()
    }

    /// Notes that the client has left.
    pub(super) fn leaves(&self) {
        self.left.set(true);
    }

    /// Whether it has left while a request was with the service.
    pub(super) fn has_left(&self) -> bool {
        self.left.get()
    }

    pub(super) fn request_begins(&self) {
        // The time of the first byte stays: a request takes as long as its client sees.
        self.phase.set(Phase::Busy);
    }

    pub(super) fn response_ends(&self) {
        self.wait.set(None);
        self.deadline.set(None);
        self.expired.set(None);
        self.enter(Phase::Idle);
        self.go_on();
    }

    /// The next request is here already, and no event of the socket will tell of it.
    fn go_on(&self) {
        if self.holds.get() {
            self.wake();
        }
    }

    pub(super) fn writes(&self, ready: bool) {
        match (ready, self.stalled_since.get()) {
            (true, Some(_)) => {
                self.stalled_since.set(None);
                // The end of a response is being written still, though all of it has been handed over.
                if self.phase.get() == Phase::Idle {
                    self.since.set(Instant::now());
                    self.go_on();
                }
            }
            (false, None) => self.stalled_since.set(Some(Instant::now())),
            _ => {}
        }
    }

    /// The connection is polled.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.doubted.set(true);
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether the connection has been idle for long enough to be taken apart: nothing in flight, unread or unwritten.
    pub(super) fn may_be_parked(&self) -> bool {
        self.restful.get()
            && self.phase.get() == Phase::Idle
            && self.stalled_since.get().is_none()
            && !self.unread.get()
    }

    pub(super) fn expired(&self) -> Option<Expired> {
        self.expired.get()
    }

    /// Looks whether something took too long; wakes the connection if so.
    pub(super) fn check(&self, now: Instant, limits: &ClientLimits) {
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        let expired = if self.stalled_since.get().is_some_and(|since| over(since, limits.body_timeout)) {
            Some(Expired::Stalled)
        } else {
            match self.phase.get() {
                Phase::Idle if self.stalled_since.get().is_some() => None,
                Phase::Idle => over(self.since.get(), limits.keep_alive_timeout).then_some(Expired::Idle),
                Phase::Header => over(self.since.get(), limits.header_timeout).then_some(Expired::Header),
                Phase::Busy => self.busy_expired(now).map(Expired::Service),
            }
        };
        if self.phase.get() == Phase::Busy && !self.listening.get() {
            self.wake();
        }
        if self.phase.get() == Phase::Idle && !self.restful.get() && over(self.since.get(), PARK_AFTER) {
            self.restful.set(true);
            self.wake();
        }
        // Said once; what the service makes of it is its business.
        if expired.is_some() && self.expired.get() != expired {
            self.expired.set(expired);
            self.wake();
        }
    }

    fn busy_expired(&self, now: Instant) -> Option<Wait> {
        if self.deadline.get().is_some_and(|until| now >= until) {
            return Some(Wait::Whole);
        }
        self.wait.get().filter(|(_, until)| now >= *until).map(|(wait, _)| wait)
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.restful.set(false);
        self.since.set(Instant::now());
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("peer", &self.peer).field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

impl Peer {
    /// The client's address, an IPv4-mapped one as IPv4.
    pub fn ip(self) -> Option<std::net::IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

/// Who is silent for that long is hardly in the middle of a burst: taking a connection apart and building it again costs
/// as much as one more request.
const PARK_AFTER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AmbiguousFields;

    fn limits() -> ClientLimits {
        let second = Duration::from_secs(1);
        ClientLimits {
            header_timeout: 2 * second,
            keep_alive_timeout: 5 * second,
            body_timeout: 3 * second,
            body_rate_min: 0,
            header_bytes_max: 8_192,
            body_bytes_max: 1,
            ambiguous_fields: AmbiguousFields::Drop,
        }
    }

    fn expired_after(client: &Client, seconds: u64) -> Option<Expired> {
        client.check(client.begun() + Duration::from_secs(seconds), &limits());
        client.expired()
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let client = Client::new(Peer::Unix);
        assert_eq!(expired_after(&client, 4), None);
        assert_eq!(expired_after(&client, 5), Some(Expired::Idle));

        let client = Client::new(Peer::Unix);
        client.bytes_read();
        assert_eq!(expired_after(&client, 1), None);
        assert_eq!(expired_after(&client, 2), Some(Expired::Header));

        let client = Client::new(Peer::Unix);
        client.bytes_read();
        client.request_begins();
        assert_eq!(expired_after(&client, 60), None, "a service that waits for nothing has no limit");
        client.wait(Wait::Response, client.begun() + Duration::from_secs(9));
        assert_eq!(expired_after(&client, 8), None);
        assert_eq!(expired_after(&client, 9), Some(Expired::Service(Wait::Response)));
    }

    #[test]
    fn the_whole_request_has_a_limit_whatever_it_waits_for() {
        let client = Client::new(Peer::Unix);
        client.bytes_read();
        client.request_begins();
        client.whole_until(Some(client.begun() + Duration::from_secs(4)));
        client.wait(Wait::Response, client.begun() + Duration::from_secs(9));
        assert_eq!(expired_after(&client, 4), Some(Expired::Service(Wait::Whole)));
    }

    #[test]
    fn a_client_that_takes_nothing_is_stalled_until_it_takes_something() {
        let client = Client::new(Peer::Unix);
        client.request_begins();
        client.writes(false);
        client.writes(true);
        assert_eq!(expired_after(&client, 60), None);
        client.writes(false);
        assert_eq!(expired_after(&client, 60), Some(Expired::Stalled));
    }

    #[test]
    fn a_response_that_is_being_written_still_is_no_idle_time() {
        let client = Client::new(Peer::Unix);
        client.request_begins();
        client.writes(false);
        client.response_ends();
        client.writes(true);
        client.writes(false);
        assert_eq!(expired_after(&client, 2), None);
        assert_eq!(expired_after(&client, 60), Some(Expired::Stalled));
    }

    #[test]
    fn only_a_connection_that_is_idle_for_a_while_is_parked() {
        let client = Client::new(Peer::Unix);
        let idle_for = |milliseconds| {
            client.check(client.begun() + Duration::from_millis(milliseconds), &limits());
            client.may_be_parked()
        };
        assert!(!idle_for(499));
        assert!(idle_for(500));
        client.bytes_read();
        assert!(!idle_for(500), "in a header section");
        client.request_begins();
        assert!(!idle_for(500), "in flight");
        client.writes(false);
        client.response_ends();
        assert!(!idle_for(500), "unwritten");
        client.writes(true);
        assert!(idle_for(500));
        client.set_unread(true);
        assert!(!idle_for(500), "unread");
    }

    #[test]
    fn a_new_request_on_the_connection_starts_afresh() {
        let client = Client::new(Peer::Unix);
        client.bytes_read();
        client.request_begins();
        client.wait(Wait::Response, client.begun());
        assert_eq!(expired_after(&client, 1), Some(Expired::Service(Wait::Response)));
        client.response_ends();
        assert_eq!(expired_after(&client, 1), None);
    }
}
