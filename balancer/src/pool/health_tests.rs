//! Who is picked when not all are well.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::config::{Address, Health, Policy};
use crate::endpoint::{InFlight, WHOLE};
use crate::pick::{Picker, Turn};

const LONG: Duration = Duration::from_secs(100);
const ALL: [Policy; 4] = [Policy::RoundRobin, Policy::LeastConnections, Policy::TwoChoices, Policy::Random];

/// A pool of so many, and its endpoints.
fn pool(policy: Policy, count: usize, health: Health) -> (Arc<Pool>, Vec<Arc<Endpoint>>) {
    let endpoints = (0..count).map(|index| config::Endpoint::new(Address::Unix(format!("/s{index}").into())));
    let pool = Pool::new(&config::Pool { policy, endpoints: endpoints.collect(), health, ..config::Pool::new("app") });
    let endpoints = pool.endpoints();
    (pool, endpoints)
}

fn rules() -> Health {
    Health { eject_after: 1, eject_time: LONG, ..Health::default() }
}

/// How many of so many requests each got, one after another.
fn shares(pool: &Pool, endpoints: &[Arc<Endpoint>], requests: usize) -> Vec<usize> {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut counts = vec![0; endpoints.len()];
    for _ in 0..requests {
        let place = pool.claim(&RoutingKey::default(), &[], &mut rng).unwrap();
        counts[endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, place.endpoint())).unwrap()] += 1;
    }
    counts
}

fn fail(endpoint: &Arc<Endpoint>) {
    endpoint.claim().unwrap().failed(&"refused");
}

/// Waits for the end of a short ejection.
fn await_end(endpoint: &Endpoint) {
    let begun = Instant::now();
    while endpoint.is_out() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
}

#[test]
fn an_endpoint_that_is_out_gets_nothing_while_half_of_them_are_available() {
    for policy in ALL {
        let (pool, endpoints) = pool(policy.clone(), 4, rules());
        fail(&endpoints[1]);
        endpoints[3].probed(Err(&"status 404"));
        let counts = shares(&pool, &endpoints, 1_000);
        assert_eq!((counts[1], counts[3]), (0, 0), "{policy:?}");
        assert!(counts[0].abs_diff(500) < 100, "{policy:?}: {counts:?}");
    }
}

#[test]
fn with_too_few_available_all_are_used_alike() {
    for policy in ALL {
        let (pool, endpoints) = pool(policy.clone(), 4, rules());
        for endpoint in &endpoints[..3] {
            fail(endpoint);
        }
        let counts = shares(&pool, &endpoints, 1_000);
        assert!(counts.iter().all(|count| count.abs_diff(250) < 100), "{policy:?}: {counts:?}");
        // One is back: half are available, and verdicts hold again.
        endpoints[0].claim().unwrap().served();
        let counts = shares(&pool, &endpoints, 1_000);
        assert_eq!(counts[1] + counts[2], 0, "{policy:?}: {counts:?}");
    }
}

#[test]
fn without_a_panic_threshold_a_pool_may_have_nobody() {
    let (pool, endpoints) = pool(Policy::RoundRobin, 2, Health { panic_threshold: 0.0, ..rules() });
    endpoints.iter().for_each(|endpoint| endpoint.probed(Err(&"status 500")));
    assert!(pool.claim(&RoutingKey::default(), &[], &mut SmallRng::seed_from_u64(1)).is_none());
}

#[test]
fn with_everything_else_down_an_ejected_endpoint_is_asked_at_once() {
    for policy in ALL {
        let (pool, endpoints) = pool(policy, 3, Health { panic_threshold: 0.0, ..rules() });
        endpoints[0].probed(Err(&"status 500"));
        endpoints[1].drain();
        fail(&endpoints[2]);
        let mut rng = SmallRng::seed_from_u64(1);
        let mut claim = || pool.claim(&RoutingKey::default(), &[], &mut rng).unwrap();
        let (mut first, mut second) = (claim(), claim());
        assert!([&first, &second].iter().all(|place| Arc::ptr_eq(place.endpoint(), &endpoints[2])));
        first.failed(&"refused");
        assert!(endpoints[2].is_ejected());
        second.served();
        assert!(!endpoints[2].is_out(), "it works again");
    }
}

#[test]
fn a_retry_goes_to_who_is_available_then_to_who_is_ejected_then_to_who_has_failed_it() {
    for policy in ALL {
        // Most are out, so that verdicts are ignored.
        let (pool, endpoints) = pool(policy, 4, rules());
        endpoints[1..3].iter().for_each(fail);
        endpoints[3].probed(Err(&"status 500"));
        let fifth = Endpoint::new("fifth".into(), Address::Unix("/fifth".into()), 1, false);
        pool.add(Arc::clone(&fifth), 9);
        let mut rng = SmallRng::seed_from_u64(5);
        let mut next = |tried: &[&Arc<Endpoint>]| {
            let tried: Vec<EndpointId> = tried.iter().map(|endpoint| endpoint.id()).collect();
            pool.claim(&RoutingKey::default(), &tried, &mut rng).unwrap().endpoint().id()
        };
        for _ in 0..20 {
            assert_eq!(next(&[&endpoints[1], &endpoints[0]]), fifth.id());
            let out = next(&[&endpoints[0], &fifth]);
            assert!(endpoints[1..].iter().any(|endpoint| endpoint.id() == out), "none that was tried");
        }
        // Two of three are available: verdicts hold.
        endpoints[2..].iter().for_each(|endpoint| pool.remove(endpoint.id()));
        for _ in 0..20 {
            let mut next = |tried: &[&Arc<Endpoint>]| {
                let tried: Vec<EndpointId> = tried.iter().map(|endpoint| endpoint.id()).collect();
                pool.claim(&RoutingKey::default(), &tried, &mut rng).unwrap().endpoint().id()
            };
            assert_eq!(next(&[&endpoints[0]]), fifth.id());
            assert_eq!(next(&[&endpoints[0], &fifth]), endpoints[1].id(), "which is ejected, and was not tried");
            assert_ne!(next(&[&endpoints[0], &fifth, &endpoints[1]]), endpoints[1].id());
        }
    }
}

#[test]
fn a_backup_serves_before_verdicts_are_ignored() {
    let (pool, endpoints) = pool(Policy::RoundRobin, 2, rules());
    let backup = Endpoint::new("spare".into(), Address::Unix("/spare".into()), 1, true);
    pool.add(Arc::clone(&backup), 9);
    for endpoint in &endpoints {
        fail(endpoint);
    }
    assert_eq!(shares(&pool, std::slice::from_ref(&backup), 10), [10]);
    fail(&backup);
    assert_eq!(shares(&pool, &endpoints, 10), [5, 5]);
}

#[test]
fn after_an_ejection_one_request_gets_through_and_decides() {
    let (pool, endpoints) = pool(Policy::RoundRobin, 2, Health { eject_time: Duration::from_millis(1), ..rules() });
    fail(&endpoints[0]);
    await_end(&endpoints[0]);
    let mut rng = SmallRng::seed_from_u64(5);
    let mut claim = || pool.claim(&RoutingKey::default(), &[], &mut rng).unwrap();
    let places: Vec<InFlight> = (0..10).map(|_| claim()).collect();
    let at_first = |place: &InFlight| Arc::ptr_eq(place.endpoint(), &endpoints[0]);
    assert_eq!(places.iter().filter(|place| at_first(place)).count(), 1);
    // Its client leaves, so the next one decides.
    drop(places);
    let mut second: Vec<InFlight> = (0..10).map(|_| claim()).collect();
    assert_eq!(second.iter().filter(|place| at_first(place)).count(), 1);
    second.iter_mut().find(|place| at_first(place)).unwrap().answered();
    drop(second);
    assert_eq!(shares(&pool, &endpoints, 10), [5, 5]);
}

#[test]
fn a_fast_failer_does_not_attract_least_connections() {
    for policy in [Policy::LeastConnections, Policy::TwoChoices] {
        let (pool, endpoints) = pool(policy.clone(), 4, Health { eject_after: 0, ..rules() });
        let mut rng = SmallRng::seed_from_u64(5);
        // Those that work are busy, the one that fails is always empty.
        let mut busy: Vec<InFlight> =
            endpoints[1..].iter().flat_map(|one| [(); 2].map(|()| one.claim())).flatten().collect();
        let mut failed = 0;
        for _ in 0..1_000 {
            let mut place = pool.claim(&RoutingKey::default(), &[], &mut rng).unwrap();
            if Arc::ptr_eq(place.endpoint(), &endpoints[0]) {
                place.failed(&"status 500");
                failed += 1;
            } else {
                busy.push(place);
                busy.remove(0).served();
            }
        }
        assert!((100..400).contains(&failed), "no more than its turn, {policy:?}: {failed}");
    }
}

#[test]
fn a_fresh_endpoint_among_others_begins_with_a_tenth_of_its_share() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::TwoChoices] {
        let (pool, mut endpoints) = pool(policy.clone(), 3, Health::default());
        let fresh = Endpoint::new("fresh".into(), Address::Unix("/fresh".into()), 1, false);
        fresh.judged_by(pool.name(), &Health { slow_start: LONG, ..Health::default() }, &Arc::default());
        assert!(fresh.share() < WHOLE / 9, "{}", fresh.share());
        endpoints.push(Arc::clone(&fresh));
        let picker = Picker::new(&policy, endpoints.clone());
        let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(5));
        let mut picks = 0;
        for _ in 0..4_000 {
            let mut turn = Turn { cursor: &cursor, key: 0, rng: &mut rng };
            picks += usize::from(Arc::ptr_eq(picker.pick(&mut turn, |_| true).unwrap(), &fresh));
        }
        assert!((50..250).contains(&picks), "{policy:?}: {picks} of 4,000");
    }
}

#[test]
fn least_connections_gives_a_fresh_endpoint_fewer_at_once() {
    let (pool, mut endpoints) = pool(Policy::LeastConnections, 2, Health::default());
    let fresh = Endpoint::new("fresh".into(), Address::Unix("/fresh".into()), 1, false);
    fresh.judged_by(pool.name(), &Health { slow_start: LONG, ..Health::default() }, &Arc::default());
    endpoints.push(Arc::clone(&fresh));
    let picker = Picker::new(&Policy::LeastConnections, endpoints);
    let (cursor, mut rng) = (AtomicUsize::new(0), SmallRng::seed_from_u64(5));
    let places: Vec<InFlight> = (0..60)
        .map(|_| picker.pick(&mut Turn { cursor: &cursor, key: 0, rng: &mut rng }, |_| true).unwrap().claim().unwrap())
        .collect();
    assert_eq!((places.len(), fresh.in_flight()), (60, 2));
}

#[test]
fn an_endpoint_that_ramps_up_gets_its_share_and_equals_share_equally() {
    let slow = Health { slow_start: LONG, ..Health::default() };
    for policy in ALL {
        let (pool, endpoints) = pool(policy.clone(), 3, slow.clone());
        let counts = shares(&pool, &endpoints, 3_000);
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 150), "{policy:?}: {counts:?}");
    }
}
