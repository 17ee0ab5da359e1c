//! A response body on its way from a worker to a client: at its client's pace, or taken off the worker as fast as it comes.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::error::{Fault, Party};
use super::exchange::Exchange;
use super::held::Reserved;
use super::taking::{Taking, Took};
use super::trailers::keep_allowed;
use super::tunnel;
use super::upload::Upload;
use super::upstream::{Upstream, Upstreams};
use super::waits::Wait;
use crate::pool::{Place, Pool};

/// A response body, with all that is held until its last byte.
pub(super) struct Relay<'r, 'a> {
    pub(super) exchange: &'r mut Exchange<'a>,
    pub(super) upload: &'r mut Upload,
    pub(super) pool: &'r Pool,
    /// Given back when the worker has sent everything; dropped, which closes the upstream connection, when not.
    pub(super) lease: Option<Lease>,
    pub(super) patience: SilenceLimits,
    /// Bytes that are held for a slow client, at most.
    pub(super) ahead: usize,
    pub(super) reserved: Reserved,
    /// How the client takes what waits for it.
    pub(super) taking: Taking,
    /// Why the rest does not come.
    pub(super) failed: Option<Fault>,
    /// Whether the client has all of it.
    pub(super) whole: bool,
}

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct SilenceLimits {
    /// For the next piece of the worker.
    pub(super) worker: Duration,
    /// For a client that takes nothing.
    pub(super) client: Duration,
}

/// A place at an endpoint and the connection to it.
#[derive(Debug)]
pub(super) struct Lease {
    /// Declared before the place, so that the connection is closed when somebody else gets the place.
    pub(super) upstream: Box<Upstream>,
    pub(super) place: Place,
    pub(super) upstreams: Rc<Upstreams>,
    pub(super) idle_max: usize,
    pub(super) keep_alive: Duration,
}

impl Relay<'_, '_> {
    /// Passes the body on, to its end or until it breaks off.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = 0;
        while bytes < BYTES_AT_ONCE {
            let waits_for_worker = self.poll_worker(cx, &mut bytes).is_pending();
            match self.exchange.poll_flush(cx, self.patience.client) {
                Poll::Ready(Ok(())) => {
                    if let Some(fault) = self.failed {
                        return self.break_off(fault);
                    }
                    if self.lease.is_none() {
                        self.whole = true;
                        return Poll::Ready(());
                    }
                    if waits_for_worker {
                        return self.wait(cx);
                    }
                }
                Poll::Ready(Err(fault)) => return self.break_off(fault),
                Poll::Pending if waits_for_worker || self.lease.is_none() || !self.has_room() => return self.wait(cx),
                Poll::Pending => {}
            }
        }
        self.exchange.waits.pause();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes a piece off the worker, if there is room for one; pending when there is none to be had.
    fn poll_worker(&mut self, cx: &mut Context<'_>, bytes: &mut usize) -> Poll<()> {
        if self.lease.is_some() && !self.has_room() {
            if self.exchange.waits.is(Wait::ResponseBody) {
                self.exchange.waits.over();
            }
            return Poll::Ready(());
        }
        let Some(lease) = &mut self.lease else { return Poll::Ready(()) };
        if !self.upload.ended()
            && let Poll::Ready(Err(fault)) = self.upload.poll(cx, self.exchange, &mut lease.upstream)
        {
            // A request body that cannot go on behind an early answer.
            self.fail(fault);
            return Poll::Ready(());
        }
        match lease.upstream.poll_body(cx) {
            Poll::Pending => {
                if !self.exchange.waits.is(Wait::ResponseBody) {
                    let now = self.exchange.waits.now();
                    self.exchange.waits.wait(Wait::ResponseBody, now + self.patience.worker);
                }
                return Poll::Pending;
            }
            Poll::Ready(Ok(piece)) => {
                if self.exchange.waits.is(Wait::ResponseBody) {
                    self.exchange.waits.over();
                }
                if let Some(piece) = piece {
                    *bytes += piece.len();
                    self.exchange.record.sent(piece.len());
                    self.exchange.stream.send(piece);
                }
                if lease.upstream.body_is_done() {
                    self.finish();
                }
            }
            Poll::Ready(Err(fault)) => {
                lease.place.cut();
                self.fail(fault);
            }
        }
        Poll::Ready(())
    }

    /// Whether another piece may be held. One always may, so that a body flows when there is no room at all.
    fn has_room(&mut self) -> bool {
        let waiting = self.exchange.stream.waiting();
        if waiting == 0 {
            return true;
        }
        let reserved = self.reserved.bytes();
        if waiting < reserved {
            self.reserved.shrink(reserved - waiting);
        }
        let whose = self.exchange.one_client();
        waiting < self.ahead && self.reserved.grow(waiting.saturating_sub(reserved), whose)
    }

    /// The worker has sent everything.
    fn finish(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        let mut trailers = lease.upstream.take_trailers();
        keep_allowed(&mut trailers);
        self.exchange.stream.finish(&trailers);
        let now = self.exchange.waits.now();
        lease.give_back(self.upload.ended(), now);
        self.exchange.record.worker_done(now);
        self.exchange.waits.over();
    }

    /// The rest does not come. What has come is written first: the client sees a response that breaks off instead of none.
    fn fail(&mut self, fault: Fault) {
        if let Some(mut lease) = self.lease.take() {
            // A slow client may have used up the time for the whole request.
            if fault.party() == Party::Endpoint && fault != Fault::RequestTimeout && lease.upstream.is_first_to_tell() {
                lease.place.failed(&fault);
            }
            if fault.keeps_place() {
                lease.place.kept_by_client(self.exchange.one_client());
            }
        }
        self.failed.get_or_insert(fault);
        // What is left is for the client to take, in its own time.
        self.exchange.waits.whole_until(None);
        self.exchange.record.failed(fault.reason());
        self.exchange.waits.over();
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.upload.ignores_client() && self.exchange.stream.poll_gone(cx).is_ready() {
            return self.break_off(Fault::ClientGone);
        }
        self.tell_what_holds_up();
        let period = self.looks_every();
        self.exchange.waits.look_every(period);
        let mut late = self.exchange.waits.late();
        if let Some(now) = self.exchange.waits.looks() {
            match self.look(now) {
                Err(fault) => return self.break_off(fault),
                Ok(takes) => late = late.filter(|wait| !(takes && *wait == Wait::ResponseTaken)),
            }
        }
        match late {
            None => Poll::Pending,
            Some(Wait::ResponseTaken) => self.break_off(Fault::ClientStalled),
            Some(wait) => {
                // A worker that waits for the rest of the request is not to blame.
                let of_client = wait == Wait::ResponseBody && self.upload.waits_for_client();
                self.fail(if of_client { Fault::SlowBody } else { Fault::late(wait) });
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Says whether the worker waits for the client, who sends too little or takes too little.
    fn tell_what_holds_up(&mut self) {
        if !self.lease.as_ref().is_some_and(|lease| lease.place.owns_connection()) {
            return;
        }
        let since = match self.upload.held_up_since() {
            None if !self.has_room() => Some(self.exchange.waits.now()),
            since => since,
        };
        if let Some(lease) = &self.lease {
            lease.place.held_up_since(since);
        }
    }

    /// How often to look how fast the client is: where it holds a place for which others may press, at each tick.
    fn looks_every(&mut self) -> Option<Duration> {
        let holds = self.lease.as_ref().is_some_and(|lease| lease.place.owns_connection());
        if self.exchange.stream.is_flushed() {
            self.taking.caught_up();
            let lasts =
                self.lease.as_ref().is_some_and(|lease| self.upload.may_be_silent() || lease.place.is_lasting());
            let waits = (holds && self.upload.waits_for_client()).then_some(Duration::ZERO);
            return waits.or_else(|| lasts.then_some(tunnel::LOOK));
        }
        Some(if holds { Duration::ZERO } else { LOOK.min(self.patience.client / 4) })
    }

    /// Looks how fast the client is; whether it has taken any of what waits for it since it was looked at last.
    ///
    /// # Errors
    /// What is wrong with its pace.
    fn look(&mut self, now: Instant) -> Result<bool, Fault> {
        if let Some(lease) = &self.lease {
            let whose = (self.upload.may_be_silent(), self.exchange.one_client());
            tunnel::stream_makes_room(self.pool, &lease.place, whose, now).map_or(Ok(()), Err)?;
        }
        let pressure = self.lease.as_ref().and_then(|lease| lease.place.pressure(now));
        if self.upload.waits_for_client() && self.upload.is_too_slow(now, pressure) {
            return Err(Fault::SlowBody);
        }
        if self.exchange.stream.is_flushed() {
            return Ok(false);
        }
        // With room for more, it is not the client for whom the worker waits.
        let pressure = pressure.filter(|_| !self.has_room());
        match self.taking.look(now, self.exchange.stream.acknowledged(), pressure) {
            Took::Nothing => Ok(false),
            Took::Something => {
                self.exchange.waits.stalled_at(now + self.patience.client);
                Ok(true)
            }
            Took::TooLittle => Err(Fault::ClientSlow),
        }
    }

    fn break_off(&mut self, fault: Fault) -> Poll<()> {
        self.fail(fault);
        self.exchange.stream.cut();
        Poll::Ready(())
    }
}

impl Drop for Relay<'_, '_> {
    fn drop(&mut self) {
        // The end of the program, or of a drain, came before that of the body.
        if !self.whole {
            self.exchange.record.failed(Fault::ClientGone.reason());
        }
        self.exchange.end();
    }
}

impl Lease {
    /// Keeps the connection for the next request and frees the place. A request body that is still under way ends here: the
    /// worker has answered without it.
    pub(super) fn give_back(self, upload_ended: bool, now: Instant) {
        let Self { upstream, mut place, upstreams, idle_max, keep_alive } = self;
        place.served();
        if !upload_ended || idle_max == 0 || keep_alive.is_zero() || !upstream.is_current() {
            drop(upstream);
            return;
        }
        if !place.owns_connection() {
            upstreams.check_in(place.endpoint(), upstream, idle_max, (keep_alive, now));
        } else if let Some(idle) = upstream.into_idle() {
            place.check_in(idle, keep_alive, now);
        }
    }
}

/// A tenth of the time after which a slow client is cut where nobody waits for its place.
const LOOK: Duration = Duration::from_secs(1);
/// A worker that sends faster than its client takes must not keep the thread from its other connections.
const BYTES_AT_ONCE: usize = 256 * 1024;
