//! How rows say what they are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::row::Row;
use super::row_state::Level;
use super::samples::EndpointFigures;
use crate::config::Address;
use crate::endpoint::Endpoint;
use crate::observe::EndpointTotals;
use crate::supervise::{LastEnd, State, Usage, WorkerStatus};

pub(super) fn worker(index: usize, state: State, now: Instant) -> WorkerStatus {
    WorkerStatus {
        name: format!("app.{index}").into(),
        index,
        state,
        since: now,
        started: None,
        pid: None,
        address: None,
        endpoint: None,
        in_flight: 0,
        tunnels: 0,
        drained_by: None,
        requests_by: None,
        not_ready: None,
        ready_by: None,
        next_start: None,
        usage: Usage::default(),
        stale: false,
        on_trial: false,
        finished: false,
        restarts: 0,
        restart_reasons: Default::default(),
        reason: None,
        last_end: None,
        last_line: None,
    }
}

pub(super) fn row(worker: WorkerStatus, now: Instant) -> Row {
    Row::new(Arc::clone(&worker.name), None, Some(worker), None, now)
}

fn endpoint() -> Arc<Endpoint> {
    Endpoint::new("app.1".into(), Address::Unix(PathBuf::from("/s")), 1, false)
}

fn text(endpoint: &Arc<Endpoint>, worker: Option<WorkerStatus>, recent: EndpointTotals, now: Instant) -> String {
    let figures = EndpointFigures { recent, ..EndpointFigures::default() };
    Row::new("app.1".into(), Some(Arc::clone(endpoint)), worker, Some(figures), now).text()
}

fn totals(ended: u64, failed: u64) -> EndpointTotals {
    let mut totals = EndpointTotals::default();
    (totals.requests, totals.ended) = (ended, ended);
    totals.errors[3] = failed;
    totals
}

#[test]
fn a_worker_without_an_endpoint_says_what_it_waits_for() {
    let now = Instant::now();
    let next_start = Some(now + Duration::from_millis(3_200));
    let last_end = Some(LastEnd { how: "exit code 1".into(), at: now });
    let waits = WorkerStatus { next_start, last_end, ..worker(1, State::Backoff, now) };
    assert_eq!(row(waits.clone(), now).text(), "back-off, next try in 4 s");
    assert_eq!(row(waits, now + Duration::from_secs(9)).text(), "back-off, next try in 1 s");
    assert_eq!(row(worker(1, State::Ready, now), now).text(), "running");
    let done = WorkerStatus { finished: true, ..worker(1, State::Exited, now) };
    assert_eq!(row(done, now).text(), "finished");
}

#[test]
fn an_endpoint_that_fails_says_so_at_once_and_what_it_fails_of() {
    let (now, endpoint) = (Instant::now(), endpoint());
    for (ended, failed, expected) in [
        (0, 0, "up"),
        (10, 0, "up"),
        (10, 4, "up"),
        (10, 5, "failing, 5 of 10: closed_early"),
        (1, 1, "failing, 1 of 1: closed_early"),
    ] {
        assert_eq!(text(&endpoint, None, totals(ended, failed), now), expected, "{failed} of {ended}");
    }
    endpoint.claim().unwrap().failed(&"reset");
    assert_eq!(text(&endpoint, None, totals(0, 0), now), "failing", "the last that there was");
}

#[test]
fn who_is_out_says_for_how_long() {
    let (now, endpoint) = (Instant::now(), endpoint());
    let rules = crate::config::Health { eject_after: 1, ..crate::config::Health::default() };
    endpoint.judged_by(&"app".into(), &rules, &Arc::default());
    endpoint.claim().unwrap().failed_alone(&"refused");
    assert_eq!(text(&endpoint, None, totals(1, 1), now), "ejected 10 s more");
    endpoint.hold();
    assert_eq!(text(&endpoint, None, totals(1, 1), now), "drained");
}

#[test]
fn a_drain_says_what_it_waits_for_and_until_when() {
    let (now, endpoint) = (Instant::now(), endpoint());
    let places = [endpoint.claim().unwrap(), endpoint.claim().unwrap()];
    endpoint.drain();
    let (drained_by, requests_by) = (Some(now + Duration::from_secs(22)), Some(now + Duration::from_secs(30)));
    let worker = WorkerStatus { drained_by, requests_by, ..worker(1, State::Draining, now) };
    let told = || text(&endpoint, Some(worker.clone()), totals(0, 0), now);
    assert_eq!(told(), "draining, 2 requests, cut in 30 s");
    let [first, _second] = places;
    drop(first);
    assert_eq!(told(), "draining, 1 request, cut in 30 s");
    let _tunnel = endpoint.begin_tunnel();
    assert_eq!(told(), "draining, 1 WebSocket, cut in 22 s");
    assert_eq!(text(&endpoint, None, totals(0, 0), now), "draining, 1 WebSocket");
}

#[test]
fn one_that_is_slow_says_so_unless_something_worse_is_to_be_said() {
    let (now, endpoint) = (Instant::now(), endpoint());
    let row = |failed| {
        let figures = EndpointFigures { recent: totals(10, failed), ..EndpointFigures::default() };
        let row = Row::new("app.1".into(), Some(Arc::clone(&endpoint)), None, Some(figures), now);
        Row { is_slow: true, ..row }
    };
    assert_eq!((row(0).text().as_str(), row(0).level()), ("up, slow", Level::Warn));
    assert_eq!((row(9).text().as_str(), row(9).level()), ("failing, 9 of 10: closed_early", Level::Bad));
}
