//! Requests that workers die of: pure.
//!
//! Decides which method and path is refused for a while. Called by `supervise`, through the pool, when a worker has died, and
//! by `forward` for every request and when a worker has cut one off. Never refuses what has been answered between two deaths: a
//! request that happened to be in flight is innocent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;

use crate::endpoint::EndpointId;

/// What is suspected and what is refused in one pool.
#[derive(Debug, Default)]
pub(super) struct QueryOfDeath {
    /// Whether anything is in the table; requests look at nothing else as long as it is not.
    active: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table(Vec<Suspect>);

#[derive(Debug)]
struct Suspect {
    method: Method,
    path: Box<str>,
    /// The workers that died with it in flight.
    deaths: Vec<(EndpointId, Instant)>,
    /// The workers that have cut it off: they may be dying. A worker is in one of the two at most.
    cuts: Vec<(EndpointId, Instant)>,
    refused_until: Option<Instant>,
}

impl QueryOfDeath {
    /// A worker has died with these in flight; returns those that are refused from now on.
    pub(super) fn died(
        &self,
        worker: EndpointId,
        requests: &[(Method, &str)],
        deaths_max: u32,
        now: Instant,
    ) -> Vec<(Method, String)> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = table.died(worker, requests, deaths_max, now);
        self.active.store(!table.0.is_empty(), Ordering::Relaxed);
        refused
    }

    /// A worker has closed the request's connection without an answer, which is what is seen of a death first.
    pub(super) fn cut(&self, worker: EndpointId, method: &Method, path: &str, now: Instant) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.cut(worker, method, path, now);
        self.active.store(!table.0.is_empty(), Ordering::Relaxed);
    }

    /// Whether the request must not reach a worker. Until it is known whether those have died that have cut it off, they count as
    /// dead: another worker would be lost meanwhile.
    pub(super) fn refuses(&self, method: &Method, path: &str, deaths_max: u32, now: impl FnOnce() -> Instant) -> bool {
        self.look(false, |table| table.refuses(method, path, deaths_max, now()))
    }

    /// A worker has answered it, and lives.
    pub(super) fn answered(&self, method: &Method, path: &str) {
        self.look((), |table| table.acquit(method, path));
    }

    fn look<T>(&self, nothing: T, look: impl FnOnce(&mut Table) -> T) -> T {
        if !self.active.load(Ordering::Relaxed) {
            return nothing;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look(&mut table);
        self.active.store(!table.0.is_empty(), Ordering::Relaxed);
        found
    }
}

impl Table {
    fn died(
        &mut self,
        worker: EndpointId,
        requests: &[(Method, &str)],
        deaths_max: u32,
        now: Instant,
    ) -> Vec<(Method, String)> {
        self.forget(now);
        if deaths_max == 0 {
            return Vec::new();
        }
        let mut refused = Vec::new();
        for (at, (method, path)) in requests.iter().enumerate() {
            // Twice in flight at one death is one death.
            if path.len() > PATH_BYTES_MAX || requests[..at].contains(&(method.clone(), path)) {
                continue;
            }
            let suspect = self.suspect(method, path);
            suspect.cuts.retain(|(cutter, _)| *cutter != worker);
            suspect.deaths.push((worker, now));
            if suspect.refused_until.is_none() && suspect.deaths.len() >= deaths_max as usize {
                suspect.refused_until = Some(now + REFUSED_FOR);
                refused.push((method.clone(), (*path).to_owned()));
            }
        }
        refused
    }

    fn cut(&mut self, worker: EndpointId, method: &Method, path: &str, now: Instant) {
        self.forget(now);
        if path.len() > PATH_BYTES_MAX {
            return;
        }
        let suspect = self.suspect(method, path);
        // Its death may be known already: both are told by different threads.
        if !suspect.deaths.iter().chain(&suspect.cuts).any(|(counted, _)| *counted == worker) {
            suspect.cuts.push((worker, now));
        }
    }

    fn refuses(&mut self, method: &Method, path: &str, deaths_max: u32, now: Instant) -> bool {
        self.forget(now);
        self.position(method, path).is_some_and(|at| {
            let suspect = &self.0[at];
            let dead = suspect.deaths.len() + suspect.cuts.len();
            suspect.refused_until.is_some() || (deaths_max > 0 && dead >= deaths_max as usize)
        })
    }

    /// The one there is, or a new one.
    fn suspect(&mut self, method: &Method, path: &str) -> &mut Suspect {
        let at = self.position(method, path).unwrap_or_else(|| {
            if self.0.len() == SUSPECTS_MAX {
                self.0.remove(0);
            }
            let (method, path) = (method.clone(), path.into());
            self.0.push(Suspect { method, path, deaths: Vec::new(), cuts: Vec::new(), refused_until: None });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn acquit(&mut self, method: &Method, path: &str) {
        // What is refused and answered all the same was under way before.
        self.0.retain(|it| it.refused_until.is_some() || it.method != *method || *it.path != *path);
    }

    fn forget(&mut self, now: Instant) {
        for suspect in &mut self.0 {
            suspect.deaths.retain(|(_, death)| now.saturating_duration_since(*death) < COUNTED_FOR);
            suspect.cuts.retain(|(_, cut)| now.saturating_duration_since(*cut) < SUSPECTED_FOR);
            if suspect.refused_until.is_some_and(|until| until <= now) {
                suspect.refused_until = None;
                suspect.deaths.clear();
            }
        }
        self.0.retain(|it| !it.deaths.is_empty() || !it.cuts.is_empty() || it.refused_until.is_some());
    }

    fn position(&self, method: &Method, path: &str) -> Option<usize> {
        self.0.iter().position(|suspect| suspect.method == *method && *suspect.path == *path)
    }
}

const COUNTED_FOR: Duration = Duration::from_secs(60);
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// A worker that has died is collected by then; one that has not, has only closed a connection.
const SUSPECTED_FOR: Duration = Duration::from_secs(1);
const SUSPECTS_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::endpoint::Endpoint;

    const SECOND: Duration = Duration::from_secs(1);

    /// Another worker at each call.
    fn died(table: &QueryOfDeath, paths: &[&str], now: Instant) -> Vec<String> {
        died_as(worker(), table, paths, now)
    }

    fn died_as(worker: EndpointId, table: &QueryOfDeath, paths: &[&str], now: Instant) -> Vec<String> {
        let requests: Vec<_> = paths.iter().map(|path| (Method::GET, *path)).collect();
        table.died(worker, &requests, 3, now).into_iter().map(|(_, path)| path).collect()
    }

    fn worker() -> EndpointId {
        Endpoint::of_worker("app.1".into(), Address::Unix("/w".into()), None).id()
    }

    #[test]
    fn the_third_death_within_a_minute_refuses_it_for_a_minute() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        assert!(died(&table, &["/a", "/a", "/a"], now).is_empty(), "one death counts once");
        assert!(died(&table, &["/a", "/b"], now + SECOND).is_empty());
        assert_eq!(died(&table, &["/a"], now + 2 * SECOND), ["/a"]);
        let refuses = |method, path, after: u32| table.refuses(&method, path, 3, || now + after * SECOND);
        assert!(refuses(Method::GET, "/a", 61));
        assert!(!refuses(Method::POST, "/a", 3) && !refuses(Method::GET, "/b", 3));
        assert!(!refuses(Method::GET, "/a", 62));
        assert!(died(&table, &["/a"], now + 63 * SECOND).is_empty(), "and it begins anew");
    }

    #[test]
    fn deaths_that_are_far_apart_say_nothing() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        for after in [0, 31, 62, 93, 124] {
            assert!(died(&table, &["/a"], now + after * SECOND).is_empty());
        }
    }

    #[test]
    fn what_is_answered_between_deaths_is_innocent() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        for _ in 0..2 {
            assert!(died(&table, &["/killer", "/popular"], now).is_empty());
            table.answered(&Method::GET, "/popular");
        }
        assert_eq!(died(&table, &["/killer", "/popular"], now), ["/killer"]);
        table.answered(&Method::GET, "/killer");
        assert!(table.refuses(&Method::GET, "/killer", 3, || now), "an answer from before ends nothing");
    }

    #[test]
    fn the_table_has_an_end() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        for number in 0..2 * SUSPECTS_MAX {
            died(&table, &[&format!("/{number}")], now);
        }
        assert_eq!(table.table.lock().unwrap().0.len(), SUSPECTS_MAX);
        table.refuses(&Method::GET, "/", 3, || now + COUNTED_FOR);
        assert!(!table.active.load(Ordering::Relaxed), "and nothing is left of it after a minute");
    }

    #[test]
    fn none_is_refused_where_that_is_off() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        for _ in 0..9 {
            assert!(table.died(worker(), &[(Method::GET, "/a")], 0, now).is_empty());
            table.cut(worker(), &Method::GET, "/a", now);
            assert!(!table.refuses(&Method::GET, "/a", 0, || now));
        }
    }

    #[test]
    fn workers_that_have_cut_it_off_count_as_dead_until_it_is_known() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        let refuses = |after: Duration| table.refuses(&Method::GET, "/a", 3, || now + after);
        let workers = [worker(), worker(), worker()];
        for worker in workers {
            assert!(!refuses(Duration::ZERO));
            table.cut(worker, &Method::GET, "/a", now);
            table.cut(worker, &Method::GET, "/a", now);
        }
        assert!(refuses(Duration::ZERO));
        assert!(!table.refuses(&Method::POST, "/a", 3, || now));
        assert!(died_as(workers[0], &table, &["/a"], now).is_empty());
        assert!(died_as(workers[1], &table, &["/a"], now).is_empty());
        assert!(refuses(Duration::ZERO), "two have died, and one may have");
        table.cut(workers[1], &Method::GET, "/a", now);
        assert!(!refuses(SUSPECTED_FOR), "two have died, and one has not");
        assert_eq!(died_as(workers[2], &table, &["/a"], now + SUSPECTED_FOR), ["/a"], "it has, later than others do");
    }

    #[test]
    fn an_answer_acquits_whoever_cut_it_off() {
        let (table, now) = (QueryOfDeath::default(), Instant::now());
        for _ in 0..9 {
            table.cut(worker(), &Method::GET, "/a", now);
            table.answered(&Method::GET, "/a");
            assert!(!table.refuses(&Method::GET, "/a", 1, || now));
        }
        table.cut(worker(), &Method::GET, "/a", now);
        table.refuses(&Method::GET, "/", 1, || now + SUSPECTED_FOR);
        assert!(!table.active.load(Ordering::Relaxed), "nothing is left of it after a second");
    }
}
