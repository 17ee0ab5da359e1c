//! A response body taken off its worker as fast as it comes, whatever its client does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::identity;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::{JoinHandle, spawn_local};

use super::super::error::{Fault, Party};
use super::Lease;
use super::held::{Reserved, taken_by};
use super::trailers::allowed;
use crate::listen::{Client, Wait};
use crate::observe::Record;

/// The client's end of a response that is read ahead.
#[derive(Debug)]
pub struct Ahead {
    flow: Rc<RefCell<Flow>>,
    /// What is left to come, where that is known.
    hint: SizeHint,
    client: Rc<Client>,
    failed: Option<Fault>,
    /// `None` when all of the response was there at once.
    pump: Option<JoinHandle<()>>,
    /// Written when it is dropped.
    record: Option<Box<Record>>,
}

/// What has come and was not taken yet.
#[derive(Debug)]
struct Flow {
    frames: VecDeque<Frame<Bytes>>,
    /// Of memory that the frames take.
    taken: usize,
    reserved: Reserved,
    /// How the worker has ended, and when.
    end: Option<(Result<(), Fault>, Instant)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The worker's end: reads as long as there is room. A task of its own, for hyper asks for a body only while its client
/// takes something.
struct Pump {
    incoming: Incoming,
    flow: Rc<RefCell<Flow>>,
    bytes_max: usize,
    client: Rc<Client>,
    idle_timeout: Duration,
    waiting: bool,
    lease: Option<Lease>,
}

impl Ahead {
    /// Holds up to `bytes_max` of `incoming` for the client.
    pub(in super::super) fn new(
        incoming: Incoming,
        bytes_max: u64,
        client: Rc<Client>,
        idle_timeout: Duration,
        lease: Lease,
        record: Option<Box<Record>>,
    ) -> Self {
        let (flow, hint) = (Rc::new(RefCell::new(Flow::new())), incoming.size_hint());
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (pumped, of_pump, lease) = (Rc::clone(&flow), Rc::clone(&client), Some(lease));
        let mut pump = Pump { incoming, flow: pumped, bytes_max, client: of_pump, idle_timeout, waiting: false, lease };
        // A short response is often here already. If not, the task looks again before anybody could be woken.
        let ended = Pin::new(&mut pump).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let pump = (!ended).then(|| spawn_local(pump));
        Self { flow, hint, client, failed: None, pump, record }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let flow = self.flow.borrow();
        flow.frames.is_empty() && matches!(flow.end, Some((Ok(()), _)))
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.hint
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(fault) = self.failed {
            return Poll::Ready(Some(Err(fault)));
        }
        if self.client.service_expired() == Some(Wait::Whole) {
            return self.fail(Fault::RequestTimeout, cx);
        }
        let mut flow = self.flow.borrow_mut();
        if let Some(frame) = flow.take() {
            drop(flow);
            if let Some(data) = frame.data_ref() {
                if let Some(left) = self.hint.exact() {
                    self.hint.set_exact(left.saturating_sub(data.len() as u64));
                }
                if let Some(record) = &mut self.record {
                    record.sent(data.len());
                }
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match flow.end {
            Some((Ok(()), _)) => Poll::Ready(None),
            Some((Err(fault), _)) => {
                drop(flow);
                self.fail(fault, cx)
            }
            None => match self.client.service_expired() {
                Some(wait) => {
                    drop(flow);
                    self.fail(Fault::late(wait), cx)
                }
                None => {
                    flow.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
        }
    }

    /// An error makes hyper drop what it has not written yet. So it is told at the next poll, as a `Relay` does.
    fn fail<T>(&mut self, fault: Fault, cx: &Context<'_>) -> Poll<T> {
        // For the pump to say whose fault it is, when it is dropped.
        self.flow.borrow_mut().end.get_or_insert((Err(fault), Instant::now()));
        self.stop();
        self.failed = Some(fault);
        if let Some(record) = &mut self.record {
            record.failed(fault.reason());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing more is wanted; the upstream connection is closed if there was more to come.
    fn stop(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop();
        let complete = self.is_end_stream();
        let Some(record) = &mut self.record else { return };
        if !complete {
            let fault = if self.client.has_stalled() { Fault::ClientStalled } else { Fault::ClientGone };
            record.failed(fault.reason());
        }
        if let Some((_, at)) = self.flow.borrow().end {
            record.worker_done_at(at);
        }
    }
}

impl Flow {
    fn new() -> Self {
        Self { frames: VecDeque::new(), taken: 0, reserved: Reserved::new(), end: None, reader: None, writer: None }
    }

    /// Whether another piece may be held. One always may, so that a body flows when there is no room at all.
    fn has_room(&mut self, bytes_max: usize) -> bool {
        let unreserved = self.taken.saturating_sub(self.reserved.bytes());
        self.frames.is_empty() || (self.taken < bytes_max && self.reserved.grow(unreserved))
    }

    fn take(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.frames.pop_front()?;
        let taken = taken_by(frame.data_ref().map_or(0, Bytes::len));
        self.taken -= taken;
        self.reserved.shrink(taken);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Some(frame)
    }

    fn put(&mut self, frame: Frame<Bytes>) {
        self.taken += taken_by(frame.data_ref().map_or(0, Bytes::len));
        self.frames.push_back(frame);
        self.wake_reader();
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let pump = &mut *self;
        for _ in 0..FRAMES_AT_ONCE {
            if !pump.has_room(cx) {
                return Poll::Pending;
            }
            let Some(lease) = &mut pump.lease else { return Poll::Ready(()) };
            let incoming = &mut pump.incoming;
            match lease.upstream.drive(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)) {
                Poll::Ready(Some(Ok(frame))) => {
                    pump.wait_over();
                    let frame = frame.into_trailers().map_or_else(identity, |all| Frame::trailers(allowed(all)));
                    pump.flow.borrow_mut().put(frame);
                    if pump.incoming.is_end_stream() {
                        return pump.end(Ok(()));
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    let fault = lease.broke_off();
                    return pump.end(Err(fault));
                }
                Poll::Ready(None) => return pump.end(Ok(())),
                Poll::Pending => {
                    pump.wait();
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some((Err(fault), _)) = self.flow.borrow().end
            && let Some(lease) = &mut self.lease
            && fault.party() == Party::Endpoint
            // Of the whole request a slow client may have taken the most.
            && fault != Fault::RequestTimeout
        {
            lease.place.failed(&fault);
        }
    }
}

impl Pump {
    /// Whether another piece may be held.
    fn has_room(&mut self, cx: &Context<'_>) -> bool {
        let mut flow = self.flow.borrow_mut();
        let room = flow.has_room(self.bytes_max);
        if !room {
            flow.writer = Some(cx.waker().clone());
            drop(flow);
            self.wait_over();
        }
        room
    }

    /// Begins to wait for the worker, once per silence.
    fn wait(&mut self) {
        if !self.waiting {
            self.waiting = true;
            self.client.wait(Wait::ResponseBody, Instant::now() + self.idle_timeout);
        }
    }

    fn wait_over(&mut self) {
        if self.waiting {
            self.waiting = false;
            self.client.wait_over();
        }
    }

    fn end(&mut self, how: Result<(), Fault>) -> Poll<()> {
        self.wait_over();
        match (how, self.lease.take()) {
            (Ok(()), Some(lease)) => lease.give_back(),
            (Err(fault), Some(mut lease)) if fault.party() == Party::Endpoint => lease.place.failed(&fault),
            _ => {}
        }
        let mut flow = self.flow.borrow_mut();
        flow.end = Some((how, Instant::now()));
        flow.wake_reader();
        Poll::Ready(())
    }
}

/// How many pieces are taken before others have their turn.
const FRAMES_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_count_for_what_they_take() {
        let mut flow = Flow::new();
        let mut pieces = 0;
        while flow.has_room(1 << 20) {
            flow.put(Frame::data(Bytes::from_static(b"x")));
            pieces += 1;
        }
        assert!((1_000..10_000).contains(&pieces), "{pieces}");
        while flow.take().is_some() {}
        assert_eq!((flow.taken, flow.reserved.bytes()), (0, 0));
    }
}
