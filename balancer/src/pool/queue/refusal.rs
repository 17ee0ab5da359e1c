//! Who is not let into the queue, and when it may be worth another try. Decides whether waiting has a point; called by the queue for whoever
//! comes. Never takes a place back.

use std::task::Waker;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::Queue;
use super::ask::{Figures, Reason, Refused};
use super::lane::Lane;
use super::line::Waiter;
use super::overload::Overload;
use crate::config::Shed;
use crate::pool::members::Members;

impl Queue {
    /// A refusal, with the time after which another try is worth while: when those who wait now have been served, spread so
    /// that they do not all come back at once.
    pub(in crate::pool) fn refused(&mut self, reason: Reason, members: &Members) -> Refused {
        let service = self.forecast.mean().unwrap_or(Duration::from_secs(1));
        let places = self.all_places(members).max(1);
        let until_served = service.as_secs_f64() * (self.line.len() + 1) as f64 / places as f64;
        let seconds = until_served * self.places.rng.random_range(0.75..1.5);
        Refused { reason, retry_after: seconds.ceil().clamp(1.0, RETRY_AFTER_MAX) as u16 }
    }

    /// Whether a request that would have to wait is refused instead. Under `newest_first`, the oldest goes for it.
    pub(super) fn refusal(
        &mut self,
        members: &Members,
        waiter: &Waiter,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> Option<Refused> {
        let (max, timeout) = (self.slots.queue_max, self.slots.queue_timeout);
        let of_one_client = waiter.client.map_or(0, |client| self.line.of_client(client));
        if max == 0 || of_one_client >= share(max) {
            return Some(self.refused(Reason::QueueFull, members));
        }
        let first = self.line.first(waiter.lane);
        let waited = first.map_or(Duration::ZERO, |first| now.saturating_duration_since(first.since));
        let (overload, target) = match waiter.lane {
            Lane::Fast => (&mut self.overload[0], timeout / 2),
            // Of slow ones patience is asked already.
            Lane::Slow => (&mut self.overload[1], timeout.mul_f64(0.9)),
            Lane::Kept => (&mut self.overload[2], timeout.mul_f64(0.9)),
        };
        let stands = overload.look(waited, target, timeout, now);
        match (self.slots.shed, self.line.len() >= max) {
            (Shed::Fifo, false) => stands.then(|| self.refused(Reason::Shed, members)),
            (Shed::Fifo, true) => Some(self.refused(Reason::QueueFull, members)),
            (Shed::NewestFirst, false) => None,
            (Shed::NewestFirst, true) => {
                let shed = self.refused(Reason::Shed, members);
                if let Some((turn, oldest)) = self.line.leave_oldest() {
                    self.answers.insert(turn, Err(shed));
                    wake.extend(oldest.waker);
                }
                None
            }
        }
    }

    pub(super) fn calm_down(&mut self) {
        if self.line.is_empty() {
            self.overload.iter_mut().for_each(Overload::emptied);
        }
    }

    /// What an operator looks at first.
    pub(in crate::pool) fn figures(&self, members: &Members, now: Instant) -> Figures {
        Figures {
            queued: self.line.len(),
            queue_max: self.slots.queue_max,
            crowd: self.line.largest().filter(|(_, count)| *count >= share(self.slots.queue_max)),
            longest_wait: self.line.oldest().map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            slots_used: members.endpoints().map(|endpoint| endpoint.in_flight()).sum(),
            slots: self.all_places(members),
            slots_each: self.slots.count,
        }
    }
}

/// Places of one client in a queue of so many.
fn share(max: usize) -> usize {
    max.div_ceil(CLIENT_SHARE)
}

/// One client has at most one in so many places of the queue.
const CLIENT_SHARE: usize = 2;
/// Seconds: what is known of the queue says nothing of a later time.
const RETRY_AFTER_MAX: f64 = 120.0;
