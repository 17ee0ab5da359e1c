//! What is remembered of the choice of an endpoint: who there was, and why it became that one.
//!
//! Decides how old a look at a pool's members may be that several requests share. Called by [`super::Forwarder`] once a request and once an
//! attempt. Never chooses.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::endpoint::Endpoint;
use crate::observe::{By, CANDIDATES_MAX, Candidate, Candidates, Choice};
use crate::pool::{Pool, RoutingKey};

/// The last look at each pool of a thread.
#[derive(Debug, Default)]
pub(super) struct Choices(RefCell<Vec<Look>>);

#[derive(Debug)]
struct Look {
    /// By its address: a successor has the same.
    pool: Arc<str>,
    candidates: Arc<Candidates>,
    /// When it is too old.
    until: Instant,
}

impl Choices {
    /// Has the record of a request know who could be asked.
    pub(super) fn note(&self, pool: &Pool, exchange: &mut Exchange<'_>) {
        if exchange.record.is_remembered() {
            exchange.record.candidates(self.among(pool, exchange.waits.now()));
        }
    }

    /// Who could be asked in `pool` at `now`, or a moment ago. Requests share what has not changed.
    fn among(&self, pool: &Pool, now: Instant) -> Arc<Candidates> {
        let mut looks = self.0.borrow_mut();
        let known = looks.iter_mut().find(|look| Arc::ptr_eq(&look.pool, pool.name()));
        match known {
            Some(look) if now < look.until => Arc::clone(&look.candidates),
            Some(look) => {
                look.until = now + SHARED;
                let candidates = look_at(pool);
                if candidates != *look.candidates {
                    look.candidates = Arc::new(candidates);
                }
                Arc::clone(&look.candidates)
            }
            None => {
                // Those of pools that are gone.
                looks.retain(|look| Arc::strong_count(&look.pool) > 1);
                let candidates = Arc::new(look_at(pool));
                let (pool, until) = (Arc::clone(pool.name()), now + SHARED);
                looks.push(Look { pool, candidates: Arc::clone(&candidates), until });
                candidates
            }
        }
    }
}

#[cold]
fn look_at(pool: &Pool) -> Candidates {
    let endpoints = pool.endpoints();
    let candidate = |endpoint: &Arc<Endpoint>| Candidate {
        name: Arc::clone(endpoint.name()),
        state: state_of(endpoint),
        in_flight: u32::try_from(endpoint.in_flight()).unwrap_or(u32::MAX),
    };
    let some: Vec<Candidate> = endpoints.iter().take(CANDIDATES_MAX).map(candidate).collect();
    Candidates { more: endpoints.len() - some.len(), some }
}

fn state_of(endpoint: &Endpoint) -> &'static str {
    match endpoint.accepts() {
        true if endpoint.is_down() => "down",
        true if endpoint.is_ejected() => "ejected",
        true => "up",
        false if endpoint.is_held() => "drained",
        false => "draining",
    }
}

/// A request got its place at `endpoint`.
pub(super) fn claimed(pool: &Pool, routing: &RoutingKey, endpoint: &Endpoint, exchange: &mut Exchange<'_>) {
    let now = exchange.waits.now();
    exchange.record.claimed((endpoint.name(), endpoint.id().number()), now);
    if exchange.record.is_remembered() {
        exchange.record.chosen(why(pool, routing, endpoint));
    }
}

/// Why `endpoint` is where a request goes that has just claimed a place there.
fn why(pool: &Pool, routing: &RoutingKey, endpoint: &Endpoint) -> Choice {
    let by_cookie =
        || routing.affinity.zip(pool.affinity()).is_some_and(|(tag, affinity)| affinity.tag(endpoint) == tag);
    let by = match () {
        // One on probation is out for others, and this is the request that decides.
        () if endpoint.is_out() => By::Want,
        () if by_cookie() => By::Cookie,
        () => By::Policy,
    };
    Choice { by, in_flight: u32::try_from(endpoint.in_flight()).unwrap_or(u32::MAX) }
}

/// How long requests share one look at a pool's members.
const SHARED: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn requests_of_a_moment_share_a_look_and_later_ones_where_nothing_has_changed() {
        let address = |port: u16| config::Address::Tcp { host: config::Host::Ip([127, 0, 0, 1].into()), port };
        let endpoints = (1..=40).map(|port| config::Endpoint::new(address(port))).collect();
        let pool = Pool::new(&config::Pool { endpoints, ..config::Pool::new("app") });
        let (choices, begun) = (Choices::default(), Instant::now());
        let first = choices.among(&pool, begun);
        assert_eq!((first.some.len(), first.more), (32, 8));
        assert!(first.some.iter().all(|one| one.state == "up" && one.in_flight == 0));
        let claimed = pool.endpoints()[0].claim();
        assert!(Arc::ptr_eq(&first, &choices.among(&pool, begun + SHARED / 2)), "a moment later");
        let busy = choices.among(&pool, begun + SHARED);
        assert_eq!(busy.some[0].in_flight, 1);
        drop(claimed);
        pool.endpoints()[1].hold();
        let held = choices.among(&pool, begun + 2 * SHARED);
        assert_eq!((held.some[0].in_flight, held.some[1].state), (0, "drained"));
        assert!(Arc::ptr_eq(&held, &choices.among(&pool, begun + 10 * SHARED)), "nothing has changed");
    }

    #[test]
    fn why_says_when_health_spoke_against_it() {
        let pool = Pool::new(&config::Pool::new("app"));
        let endpoint = Endpoint::new("a".into(), config::Address::Unix("/a".into()), 1, false);
        let place = endpoint.claim();
        assert_eq!(why(&pool, &RoutingKey::default(), &endpoint), Choice { by: By::Policy, in_flight: 1 });
        for _ in 0..3 {
            endpoint.probed(Err(&"refused"));
        }
        assert_eq!(why(&pool, &RoutingKey::default(), &endpoint).by, By::Want);
        drop(place);
    }
}
