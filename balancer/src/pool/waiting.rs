//! A request that waits for a place.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::queue::ask::Refused;
use super::{Place, Pool};

/// A request's turn in the queue. The place is handed over before it is woken; dropped, it leaves the queue and passes on what
/// it was given in that very moment.
#[derive(Debug)]
pub struct Waiting {
    pool: Arc<Pool>,
    turn: u64,
    since: Instant,
    /// When it gives up.
    until: Instant,
    /// When it may begin to take what it may not take yet.
    patient_until: Option<Instant>,
    over: bool,
}

impl Waiting {
    pub(super) fn new(
        pool: &Arc<Pool>,
        turn: u64,
        since: Instant,
        timeout: Duration,
        patience: Option<Duration>,
    ) -> Self {
        // Limits are kept to a sixteenth, and an answer must be there within this one.
        let until = since + timeout - timeout / 16;
        let patient_until = patience.map(|patience| since + patience);
        Self { pool: Arc::clone(pool), turn, since, until, patient_until, over: false }
    }

    /// Whether it has its place, or has been refused after all.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Place, Refused>> {
        let Some(answer) = self.pool.answer(self.turn, cx.waker()) else { return Poll::Pending };
        self.over = true;
        Poll::Ready(answer.map(|grant| Place::slot(&self.pool, grant, self.turn)))
    }

    /// When to call [`Self::look`], if nothing has happened by then.
    pub fn look_at(&self) -> Instant {
        self.patient_until.map_or(self.until, |patient| patient.min(self.until))
    }

    /// Time has passed.
    ///
    /// # Errors
    /// When it has waited for as long as it may.
    pub fn look(&mut self, now: Instant) -> Result<(), Refused> {
        if now >= self.until {
            return Err(self.pool.timed_out());
        }
        self.patient_until = self.patient_until.filter(|&patient| now < patient);
        self.pool.available_changed();
        Ok(())
    }

    /// Since when it waits.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over {
            self.pool.leave(self.turn);
        }
    }
}
