//! Requests that are due and wait for a client.
//!
//! Decides who takes the next, and wakes at a moment. Called by [`super`]. Never drops one by itself.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::{Duration, Instant};
use std::{collections::VecDeque, io};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::{io::unix::AsyncFd, sync::Notify};

use super::arrivals::Arrival;

/// In the order they fell due.
#[derive(Default)]
pub(super) struct Queue {
    waiting: RefCell<VecDeque<(u64, Arrival)>>,
    more: Notify,
    over: Cell<bool>,
}

impl Queue {
    pub(super) fn push(&self, number: u64, arrival: Arrival) {
        self.waiting.borrow_mut().push_back((number, arrival));
        self.more.notify_one();
    }

    /// No more will come.
    pub(super) fn end(&self) {
        self.over.set(true);
        self.more.notify_waiters();
    }

    /// `None` once all is over.
    pub(super) async fn next(&self) -> Option<(u64, Arrival)> {
        loop {
            if let Some(next) = self.waiting.borrow_mut().pop_front() {
                return Some(next);
            }
            if self.over.get() {
                return None;
            }
            self.more.notified().await;
        }
    }

    /// Drops all that wait; how many.
    pub(super) fn forget(&self) -> u64 {
        self.waiting.borrow_mut().drain(..).count() as u64
    }
}

/// Wakes within tens of microseconds. The runtime's own timer counts whole milliseconds, which is a fifth of what a fast request
/// takes.
pub(super) struct Alarm(AsyncFd<Timer>);

struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    pub(super) fn new() -> io::Result<Alarm> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        #[allow(
            deprecated,
            reason = "the new name is unsafe; a timer owns its descriptor for as long as it is registered"
        )]
        let timer = AsyncFd::new(Timer(timer))?;
        Ok(Alarm(timer))
    }

    /// At once where the moment has passed.
    pub(super) async fn until(&self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // Zero would disarm it.
        let left = TimeSpec::from_duration(left.max(Duration::from_nanos(1)));
        self.0.get_ref().0.set(Expiration::OneShot(left), TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(waited) = ready.try_io(|timer| timer.get_ref().0.wait().map_err(io::Error::from)) {
                return waited;
            }
        }
    }
}
