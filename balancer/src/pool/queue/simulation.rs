//! A pool on paper: arrivals and service times drawn from a seed, places handed out by `lane`, learned by `forecast`.
//!
//! This is where the rule and its constants come from; the figures are in `docs/decisions/slow-lane.md`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use http::Method;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::forecast::{Forecast, Kind, Running};
use super::lane::{Lane, Lanes, Patience, next};

#[derive(Clone, Copy)]
struct Case {
    places: usize,
    /// Of the capacity.
    load: f64,
    seconds: u64,
    slow_lane: bool,
    queue_timeout: Duration,
    /// Whether the path tells the slow requests, or says nothing.
    telling: bool,
}

/// Times from arrival to the end of service, sorted.
struct Times {
    fast: Vec<Duration>,
    slow: Vec<Duration>,
}

struct Request {
    arrived: Duration,
    service: Duration,
    kind: Kind,
}

/// The supermarket: one request in twenty takes 1 s, the others 5 ms.
const SHOP: Case =
    Case { places: 4, load: 0.7, seconds: 600, slow_lane: true, queue_timeout: Duration::from_secs(30), telling: true };
const SLOW: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(5);
/// No more often is it looked whether a slow one has waited long enough.
const TICK: Duration = Duration::from_millis(5);

#[test]
fn fast_requests_hardly_wait_and_slow_ones_wait_a_little_longer() {
    for seed in 1..=3 {
        let plain = simulate(Case { slow_lane: false, ..SHOP }, seed);
        let lane = simulate(SHOP, seed);
        let (before, after) = (percentile(&plain.fast, 99.0), percentile(&lane.fast, 99.0));
        assert!(before > Duration::from_millis(900), "{before:?}: the queue that the lane is for");
        assert!(after <= Duration::from_millis(100), "{after:?} instead of {before:?}");
        let (before, after) = (percentile(&plain.slow, 99.0), percentile(&lane.slow, 99.0));
        assert!(after <= before.mul_f64(3.5), "{after:?} instead of {before:?}");
    }
}

#[test]
fn an_unlucky_start_costs_fast_requests_little() {
    // Of 40 s, one in a hundred fast requests is a second of them: what is not known in the beginning counts.
    let p99: Vec<u128> =
        (1..=40).map(|seed| percentile(&simulate(Case { seconds: 40, ..SHOP }, seed).fast, 99.0).as_millis()).collect();
    assert!(p99.iter().all(|&p99| p99 <= 100), "{p99:?}");
}

#[test]
fn nobody_starves_at_four_fifths_of_the_capacity() {
    for seed in 1..=3 {
        let case = Case { load: 0.8, ..SHOP };
        let (plain, lane) = (simulate(Case { slow_lane: false, ..case }, seed), simulate(case, seed));
        let (longest, before) = (lane.slow[lane.slow.len() - 1], percentile(&plain.slow, 99.0));
        assert!(longest <= 4 * before, "{longest:?}, and p99 {before:?} before");
        assert!(percentile(&lane.fast, 99.0) < percentile(&plain.fast, 99.0) / 2);
        assert!(percentile(&lane.fast, 90.0) < Duration::from_millis(100));
    }
}

#[test]
fn patience_is_shorter_than_the_queue() {
    for seed in 1..=3 {
        let lane = simulate(Case { queue_timeout: Duration::from_secs(5), ..SHOP }, seed);
        let longest = lane.slow[lane.slow.len() - 1];
        assert!(longest - SLOW < Duration::from_secs(5), "{longest:?}");
        assert!(percentile(&lane.fast, 99.0) < Duration::from_millis(200));
    }
}

#[test]
fn when_there_is_too_much_to_do_both_kinds_get_their_share() {
    let case = Case { load: 1.2, seconds: 120, ..SHOP };
    let (plain, lane) = (simulate(Case { slow_lane: false, ..case }, 1), simulate(case, 1));
    assert!(percentile(&lane.fast, 99.0) < percentile(&plain.fast, 99.0));
    assert!(percentile(&lane.slow, 99.0) < percentile(&plain.slow, 99.0).mul_f64(1.5));
}

#[test]
fn a_forecast_that_says_nothing_makes_it_no_worse_than_a_plain_queue() {
    for (seed, load) in [(1, 0.5), (2, 0.7), (3, 0.8), (4, 0.9)] {
        let case = Case { load, telling: false, ..SHOP };
        let (plain, lane) = (simulate(Case { slow_lane: false, ..case }, seed), simulate(case, seed));
        for (plain, lane) in [(&plain.fast, &lane.fast), (&plain.slow, &lane.slow)] {
            let (before, after) = (percentile(plain, 99.0), percentile(lane, 99.0));
            assert!(after <= before.mul_f64(1.05), "load {load}: {after:?} instead of {before:?}");
        }
    }
}

/// Lets the whole of a case happen.
fn simulate(case: Case, seed: u64) -> Times {
    let mut arrivals = arrivals(case, seed).into_iter().peekable();
    let (epoch, mut forecast) = (Instant::now(), Forecast::new(Instant::now()));
    let mut ends: BinaryHeap<Reverse<(Duration, Kind, Duration, bool)>> = BinaryHeap::new();
    let (mut fast, mut slow) = (VecDeque::new(), VecDeque::<Request>::new());
    let mut busy = 0;
    let mut times = Times { fast: Vec::new(), slow: Vec::new() };
    let mut before = Duration::ZERO;
    loop {
        let patience = |forecast: &Forecast, kind, now| {
            let expected = forecast.slow(kind, || case.places, epoch + now).filter(|_| case.slow_lane);
            expected.map(|expected| Patience::new(expected, case.queue_timeout))
        };
        // As it is known by the time of the last event.
        let known = |request: &Request| patience(&forecast, request.kind, before).unwrap_or(Patience::NONE);
        let patient_until = slow.front().map(|first| (first.arrived + known(first).reserve).max(before + TICK));
        let (arrival, end) = (arrivals.peek().map(|request| request.arrived), ends.peek().map(|end| end.0.0));
        let patient_until = patient_until.filter(|_| busy < case.places);
        let Some(now) = [arrival, end, patient_until].into_iter().flatten().min() else { return times.sorted() };
        before = now;
        if end == Some(now) {
            if let Some(Reverse((_, kind, begun, is_slow))) = ends.pop() {
                busy -= 1;
                forecast.end(Running::new(kind, lane(is_slow), epoch + begun));
                forecast.learn(kind, now - begun, true, epoch + now);
            }
        } else if arrival == Some(now)
            && let Some(request) = arrivals.next()
        {
            match patience(&forecast, request.kind, now) {
                Some(_) => slow.push_back(request),
                None => fast.push_back(request),
            }
        }
        while busy < case.places {
            let waited = |request: &Request| now.saturating_sub(request.arrived);
            let lanes = Lanes {
                places: case.places,
                slow_in_flight: slow.front().map_or(0, |first| forecast.slow_running(first.kind, epoch + now)),
                fast: fast.front().map(waited),
                slow: slow
                    .front()
                    .map(|request| (waited(request), patience(&forecast, request.kind, now).unwrap_or(Patience::NONE))),
                kept: None,
                is_calm: false,
            };
            let request = match next(&lanes) {
                Some(Lane::Fast) => fast.pop_front(),
                Some(Lane::Slow | Lane::Kept) => slow.pop_front(),
                None => None,
            };
            let Some(request) = request else { break };
            let is_slow = next(&lanes) == Some(Lane::Slow);
            busy += 1;
            forecast.begin(Running::new(request.kind, lane(is_slow), epoch + now));
            ends.push(Reverse((now + request.service, request.kind, now, is_slow)));
            let of_its_kind = if request.service == SLOW { &mut times.slow } else { &mut times.fast };
            of_its_kind.push(now + request.service - request.arrived);
        }
    }
}

fn lane(is_slow: bool) -> Lane {
    if is_slow { Lane::Slow } else { Lane::Fast }
}

fn arrivals(case: Case, seed: u64) -> Vec<Request> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mean = 0.05 * SLOW.as_secs_f64() + 0.95 * FAST.as_secs_f64();
    let between = mean / (case.load * case.places as f64);
    let (mut now, mut requests) = (0.0, Vec::new());
    while now < case.seconds as f64 {
        now += -(1.0 - rng.random::<f64>()).ln() * between;
        let is_slow = rng.random::<f64>() < 0.05;
        let path = match (case.telling, is_slow) {
            (true, true) => "/report".to_owned(),
            (true, false) => "/page".to_owned(),
            (false, _) => format!("/route/{}", ["a", "b", "c", "d", "e", "f"][rng.random_range(0..6)]),
        };
        let (service, kind) = (if is_slow { SLOW } else { FAST }, Kind::of(&Method::GET, &path));
        requests.push(Request { arrived: Duration::from_secs_f64(now), service, kind });
    }
    requests
}

fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * percent / 100.0) as usize]
}

impl Times {
    fn sorted(mut self) -> Self {
        self.fast.sort();
        self.slow.sort();
        self
    }
}

#[test]
#[ignore = "prints the figures that docs/decisions/slow-lane.md has"]
fn figures() {
    use std::io::Write as _;
    for load in [0.5, 0.7, 0.8, 0.9, 1.2] {
        for (name, slow_lane, telling) in [("plain", false, true), ("lane", true, true), ("useless", true, false)] {
            for queue_timeout in [5, 30] {
                let queue_timeout = Duration::from_secs(queue_timeout);
                let seconds = if load > 1.0 { 60 } else { 600 };
                let case = Case { load, slow_lane, telling, seconds, queue_timeout, ..SHOP };
                let all: Vec<Times> = (1..=5).map(|seed| simulate(case, seed)).collect();
                let collect = |of: fn(&Times) -> &Vec<Duration>| {
                    let mut times: Vec<_> = all.iter().flat_map(of).copied().collect();
                    times.sort();
                    let of = |percent| percentile(&times, percent).as_millis();
                    format!("{:>6} {:>6} {:>6} {:>6}", of(50.0), of(90.0), of(99.0), of(100.0))
                };
                let (fast, slow) = (collect(|times| &times.fast), collect(|times| &times.slow));
                let line = format!("{load} {name:8} {queue_timeout:?}: fast {fast} | slow {slow}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
            }
        }
    }
}
