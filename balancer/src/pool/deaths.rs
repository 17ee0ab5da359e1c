//! Requests that workers die of.
//!
//! Decides whether a request may reach a worker, and a failed one another. Called by `supervise` when a worker has died, and by
//! `forward` for every request. Never refuses anything for what has not killed.

use std::time::{Duration, Instant};

use super::Pool;
use super::deadly::{Asked, Barred, Dead, DeathRefusal};
use super::moment::{DeadlyRequest, SETTLES_WITHIN};
use super::query_of_death::DeathTable;
use crate::endpoint::{EndpointId, Noted};
use crate::net::{Client, sleep, timeout};

impl Pool {
    /// For how many seconds more requests like this are refused, because they have killed too many workers within a minute.
    pub fn refuses(&self, asked: &Asked<'_>) -> Option<u16> {
        if self.deaths_max == 0 {
            return None;
        }
        let refuses = |table: &mut DeathTable| {
            let now = Instant::now();
            let until = table.suspects.refuses(asked, now).max(table.killers.refuses(asked, now))?;
            Some(until.saturating_duration_since(now).as_secs_f64().ceil().max(1.0) as u16)
        };
        self.query_of_death.look_if_active(refuses).flatten()
    }

    /// What is refused so, to whom.
    pub fn refused(&self) -> Vec<Barred> {
        let refused = |table: &mut DeathTable| {
            let now = Instant::now();
            let mut refused = table.suspects.refused(now);
            refused.extend(table.killers.refused(now));
            refused
        };
        if self.deaths_max == 0 { Vec::new() } else { self.query_of_death.look_if_active(refused).unwrap_or_default() }
    }

    /// Its workers are others now, which may not die of it: nothing is refused any more. Returns whether something was.
    pub fn forget_deaths(&self) -> bool {
        let refused = !self.refused().is_empty();
        self.query_of_death.look_if_active(|table| *table = DeathTable::default());
        refused
    }

    /// Whether such a request may go to another worker after `cut` have closed its connection without an answer: they may be dying
    /// of it. For this request they count as dead, for no other.
    pub fn may_repeat(&self, asked: &Asked<'_>, cut: &[EndpointId]) -> bool {
        if cut.is_empty() || self.deaths_max == 0 {
            return true;
        }
        let query = &self.query_of_death;
        let deaths = query.look_if_active(|table| table.suspects.deaths(asked, cut, Instant::now()));
        cut.len() < CUTS_MAX && deaths.unwrap_or(cut.len()) < self.deaths_max as usize
    }

    /// A worker has answered such a request.
    pub fn answered(&self, asked: &Asked<'_>) {
        self.query_of_death.look_if_active(|table| {
            table.suspects.answered(asked, Instant::now());
            table.killers.answered(asked);
        });
    }

    /// Waits until it is known that a worker has died with such a request in flight, or for so long that it has not. Whoever is
    /// told of the failure only then cannot kill the next worker before the death of this one counts.
    pub async fn until_known(&self, worker: EndpointId, asked: &Asked<'_>) {
        if self.deaths_max > 0 {
            let known = timeout(KNOWN_WITHIN, self.query_of_death.until_known(worker, asked)).await;
            if known.is_ok() {
                // Others may have died with it, and of the same.
                sleep(SETTLES_WITHIN).await;
            }
        }
    }

    /// Whether a request that was answered too late makes its worker count as hung. Not where one client has asked for the like so
    /// often that the request is the reason, and not the worker.
    pub fn counts_as_hang(&self, asked: &Asked<'_>, now: Instant) -> bool {
        self.hangs() && self.query_of_death.hung.count(asked, now)
    }

    /// A worker, called so, has died with these requests in flight; returns what is refused from now on, after `deaths_max`
    /// deaths.
    pub fn worker_died(
        &self,
        worker: EndpointId,
        named: &str,
        requests: &[Noted],
        deaths_max: u32,
    ) -> Vec<DeathRefusal> {
        let asked = requests.iter().map(|noted| {
            let held = DeadlyRequest { id: noted.id, given: noted.given };
            (Asked { method: &noted.head.method, path: noted.path(), client: noted.client.map(Client::of) }, held)
        });
        let requests: Vec<_> = asked.collect();
        let dead = Dead { worker, named: named.into() };
        let refusals = self.query_of_death.look(|table| {
            let now = Instant::now();
            let mut refusals = table.suspects.died(&dead, &requests, deaths_max, now);
            refusals.extend(table.killers.died(&dead, &requests, deaths_max, now));
            refusals
        });
        self.query_of_death.died.notify_waiters();
        refusals
    }
}

/// Workers that may close the connection of one request without an answer: a second may have been killed for another reason
/// as well as the first, a third hardly.
const CUTS_MAX: usize = 2;
/// A worker that has closed its connections because it has died is collected by then.
const KNOWN_WITHIN: Duration = Duration::from_millis(250);
