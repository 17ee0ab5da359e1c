//! Requests that workers die of.
//!
//! Decides whether a request may reach a worker, and a failed one another. Called by `supervise` when a worker has died, and by
//! `forward` for every request. Never refuses anything for what has not killed.

use std::time::{Duration, Instant};

use super::Pool;
use super::query_of_death::DeathTable;
use super::suspects::{Asked, Dead, DeathRefusal};
use crate::endpoint::{EndpointId, Noted};
use crate::net::{Client, timeout};

impl Pool {
    /// Whether requests like this have killed too many workers within the last minute.
    pub fn refuses(&self, asked: &Asked<'_>) -> bool {
        let refuses = |table: &mut DeathTable| {
            let now = Instant::now();
            table.suspects.refuses(asked, now) || table.killers.refuses(asked, now)
        };
        self.deaths_max > 0 && self.query_of_death.look_if_active(refuses) == Some(true)
    }

    /// Whether such a request may go to another worker after `cut` have closed its connection without an answer: they may be dying
    /// of it. For this request they count as dead, for no other.
    pub fn may_repeat(&self, asked: &Asked<'_>, cut: &[EndpointId]) -> bool {
        if cut.is_empty() || self.deaths_max == 0 {
            return true;
        }
        let query = &self.query_of_death;
        let before = query.look_if_active(|table| table.suspects.deaths(asked, cut, Instant::now())).unwrap_or(0);
        cut.len() < CUTS_MAX && cut.len() + before < self.deaths_max as usize
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
            let _ = timeout(KNOWN_WITHIN, self.query_of_death.until_known(worker, asked)).await;
        }
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
            (Asked { method: &noted.head.method, path: noted.path(), client: noted.client.map(Client::of) }, noted.id)
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
