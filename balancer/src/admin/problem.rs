//! What a pool suffers from, in one sentence: the first that an operator has to know.
//!
//! Decides what is worth a sentence, and in which order. Called by [`super::status`] and by `/readyz`. Pure.

use std::time::Instant;

use super::row::Row;
use super::row_state::{Level, RowState};
use super::samples::PoolFigures;
use super::slow::{Slow, slow};
use crate::observe::{OF_ENDPOINTS, STATUS};
use crate::pool::{Barred, Figures, Whom};
use crate::supervise::{FailedRoll, Status, WorkerStatus};

/// What is wrong with a pool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) level: Level,
    /// Without the name of the pool: `2 in back-off: no module named app`.
    pub(super) text: String,
}

/// The same of all of a pool, if anything is.
pub(super) fn of(
    rows: &[Row],
    figures: &PoolFigures,
    queue: Option<Figures>,
    (is_ready, further): (bool, &[String]),
) -> Option<Problem> {
    let mut parts = of_rows(rows, is_ready);
    if rows.is_empty() {
        parts.push("it has no endpoint".to_owned());
    } else if parts.is_empty() && !is_ready {
        parts.push("no endpoint takes requests".to_owned());
    }
    let is_bad = !is_ready || rows.iter().any(|row| row.state.level() == Level::Bad);
    let mut level = if is_bad { Level::Bad } else { Level::Ok };
    // What endpoints that fail have told already is not said twice.
    let (failed, ended) = (figures.failed(), figures.requests.max(1));
    let fail_often = failed > 0 && failed * ERRORS_ONE_IN >= ended;
    if fail_often && !rows.iter().any(|row| row.state == RowState::Failing) {
        let told = figures.errors.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>();
        parts.push(match figures.errors.get(STATUS) {
            Some(count) if *count == failed => answered_5xx(failed, figures.requests),
            _ => format!("{failed} of {} requests failed: {}", figures.requests, told.join(", ")),
        });
        level = Level::Bad;
    }
    // Of a queue that was full a moment ago, too: it is never full for long, for it refuses.
    let was_full = fail_often && figures.errors.keys().any(|reason| *reason == "queue_full");
    let is_filled = |queue: &Figures| queue.queued > 0 && (was_full || QUEUE_ONE_IN * queue.queued >= queue.queue_max);
    if let Some(queue) = queue.filter(is_filled) {
        let (queued, max) = (queue.queued, queue.queue_max);
        let taken = match queue.crowd {
            Some((client, count)) => format!(
                "client {client} has its half of the queue ({count} of {max}), more of its requests get 503 queue_full; is it a proxy? \
                 name it in trusted_proxies. {queued} places are taken"
            ),
            None => format!("{queued} of {max} places in the queue are taken"),
        };
        parts.push(format!("{taken}, and {} of {} slots in use", queue.slots_used, queue.slots));
        level = Level::Bad;
    }
    for part in slow_of(rows).into_iter().chain(further.iter().cloned()) {
        parts.push(part);
        level = level.max(Level::Warn);
    }
    if level == Level::Ok && !parts.is_empty() {
        level = Level::Warn;
    }
    (!parts.is_empty()).then(|| Problem { level, text: parts.join("; ") })
}

/// How many are ill, and of what: `2 in back-off: no module named app`.
fn of_rows(rows: &[Row], is_ready: bool) -> Vec<String> {
    let mut parts = Vec::new();
    for state in ILL {
        let ill: Vec<&Row> = rows.iter().filter(|row| row.state == state).collect();
        // What has just begun is no problem of a pool that serves.
        let is_mild = state.level() == Level::Warn && state != RowState::Probation;
        if is_mild && is_ready && late(&ill).is_none() {
            continue;
        }
        let Some(first) = ill.first() else { continue };
        if let Some(text) = late(&ill) {
            parts.push(text);
            continue;
        }
        let name = if ill.len() == 1 { first.name.to_string() } else { ill.len().to_string() };
        let shown = match state {
            RowState::Backoff => "in back-off",
            state => state.shown(),
        };
        // A line says more than an exit code.
        let why = ill.iter().find_map(|row| line_of(row)).or_else(|| ill.iter().find_map(|row| how(row)));
        let why = if state == RowState::Failing { fails_of(&ill) } else { why };
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        let verb = if ill.len() == 1 { format!("{name} is") } else { name };
        let verb = if state == RowState::Exited { verb.trim_end_matches(" is").to_owned() } else { verb };
        parts.push(format!("{verb} {shown}{why}"));
    }
    parts
}

/// Of those that should be ready by now.
fn late(ill: &[&Row]) -> Option<String> {
    let mut late = ill.iter().filter_map(|row| row.late.as_ref());
    let (first, more) = (late.next()?, late.count());
    Some(if more == 0 { first.clone() } else { format!("{first}, and {more} more") })
}

/// The last roll, where it has failed.
pub(super) fn failed_roll(status: &Status, now: Instant) -> Option<String> {
    let FailedRoll { at, how } = status.failed_roll.as_ref()?;
    let ago = crate::shown::age(now.saturating_duration_since(*at).as_secs());
    Some(format!("the last roll failed {ago} ago, {how}"))
}

/// What one that has ended printed last.
fn line_of(row: &Row) -> Option<String> {
    ended(row)?.last_line.as_deref().map(cut)
}

/// How many of their requests fail, and of what most.
fn fails_of(ill: &[&Row]) -> Option<String> {
    let recent = || ill.iter().filter_map(|row| Some(&row.figures.as_ref()?.recent));
    let (ended, failed) = (recent().map(|one| one.ended).sum::<u64>(), recent().map(|one| one.failed()).sum::<u64>());
    let of = |at: usize| recent().map(|one| one.errors[at]).sum::<u64>();
    let most = (0..OF_ENDPOINTS.len()).max_by_key(|at| of(*at)).filter(|_| failed > 0)?;
    Some(match OF_ENDPOINTS[most] {
        STATUS if of(most) == failed => answered_5xx(failed, ended),
        most => format!("{failed} of {ended} requests, {most}"),
    })
}

/// What we pass on is no fault of ours.
fn answered_5xx(failed: u64, ended: u64) -> String {
    format!("the workers themselves answer 5xx ({failed} of {ended}): see the app")
}

/// How it ended.
fn how(row: &Row) -> Option<String> {
    Some(ended(row)?.last_end.as_ref()?.how.to_string())
}

/// The worker of a row that has ended, now or before its present start.
fn ended(row: &Row) -> Option<&WorkerStatus> {
    let may_have = matches!(row.state, RowState::Backoff | RowState::Exited | RowState::Starting);
    row.worker.as_ref().filter(|worker| may_have && worker.last_end.is_some())
}

/// What is refused because workers died of it, the first few, and how to have it back.
pub(super) fn barred(all: &[Barred], now: Instant) -> Option<String> {
    let told = all.iter().take(BARRED_MAX).map(|one| {
        let whom = match one.whom {
            Whom::Client(Some(client)) => format!("client {client}"),
            Whom::Client(None) => "clients without an address".to_owned(),
            Whom::Spellings(client) => format!("client {client}, as are paths like it"),
            Whom::Everybody => "every client".to_owned(),
        };
        let left = crate::shown::age(one.until.saturating_duration_since(now).as_secs_f64().ceil() as u64);
        let (method, path) = (&one.method, cut(&one.path));
        format!("{method} {path} is refused to {whom} for {left} more: {} workers died of it", one.deaths)
    });
    let mut told: Vec<String> = told.collect();
    if all.len() > told.len() {
        told.push(format!("{} more like it", all.len() - told.len()));
    }
    let off = "a restart of the workers ends that, query_of_death = 0 turns it off";
    (!told.is_empty()).then(|| format!("{} ({off})", told.join("; ")))
}

/// An endpoint that takes much longer than the others.
fn slow_of(rows: &[Row]) -> Option<String> {
    let Slow { at, p50, others } = slow(rows.iter().map(|row| row.figures.as_ref()))?;
    let millis = |seconds: f64| format!("{} ms", seconds * 1_000.0);
    Some(format!("{} is slow: p50 ≤ {}, others ≤ {}", rows.get(at)?.name, millis(p50), millis(others)))
}

/// As much of a line as a sentence takes.
fn cut(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{} …", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

/// States that are worth a word, worst first.
const ILL: [RowState; 9] = [
    RowState::Backoff,
    RowState::Exited,
    RowState::Down,
    RowState::Failing,
    RowState::Ejected,
    RowState::Probation,
    RowState::Starting,
    RowState::Drained,
    RowState::Draining,
];
/// One in so many requests that failed is worth a sentence.
const ERRORS_ONE_IN: u64 = 20;
/// One in so many places of the queue that is taken, likewise.
const QUEUE_ONE_IN: usize = 2;
const LINE_CHARS_MAX: usize = 120;
/// Of what is refused, so much is named.
const BARRED_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::row_tests::{row, worker};
    use super::*;
    use crate::admin::samples::EndpointFigures;
    use crate::supervise::{LastEnd, State};

    fn told(rows: &[Row], is_ready: bool) -> Option<(Level, String)> {
        let problem = of(rows, &PoolFigures::default(), None, (is_ready, &[]));
        problem.map(|problem| (problem.level, problem.text))
    }

    fn ill(index: usize, line: Option<&str>) -> Row {
        let now = Instant::now();
        let last_end = Some(LastEnd { how: "exit code 1".into(), at: now });
        let last_line = line.map(Into::into);
        row(WorkerStatus { last_end, last_line, ..worker(index, State::Backoff, now) }, now)
    }

    #[test]
    fn a_pool_says_what_its_workers_die_of() {
        let line = Some("psycopg2.OperationalError: connection refused");
        let all = [ill(1, None), ill(2, line)];
        let expected = "2 in back-off: psycopg2.OperationalError: connection refused";
        assert_eq!(told(&all, false), Some((Level::Bad, expected.to_owned())));
        let one = [ill(1, None), row(worker(2, State::Ready, Instant::now()), Instant::now())];
        assert_eq!(told(&one, true), Some((Level::Bad, "app.1 is in back-off: exit code 1".to_owned())));
        assert_eq!(told(&one[1..], true), None);
        let long = "x".repeat(400);
        let (_, text) = told(&[ill(1, Some(&long))], false).unwrap();
        assert!(text.ends_with("xx …") && text.chars().count() < 160, "{text}");
        let starting = [row(worker(1, State::Starting, Instant::now()), Instant::now())];
        assert_eq!(told(&starting, false), Some((Level::Bad, "app.1 is starting".to_owned())));
        assert_eq!(told(&starting, true), None);
        assert_eq!(told(&[], false), Some((Level::Bad, "it has no endpoint".to_owned())));
    }

    #[test]
    fn a_worker_that_is_late_and_a_roll_that_has_failed_are_told() {
        let now = Instant::now();
        let late = |index: usize, seconds: u64| {
            let started = Some(now - Duration::from_secs(seconds));
            let not_ready = Some("GET /health was answered 503".into());
            let ready_by = Some(now + Duration::from_millis(51_500));
            row(WorkerStatus { started, not_ready, ready_by, ..worker(index, State::Starting, now) }, now)
        };
        let well = || row(worker(9, State::Ready, now), now);
        let expected = "app.1 is not ready after 8 s: GET /health was answered 503 (gives up in 52 s)";
        assert_eq!(told(&[late(1, 8), well()], true), Some((Level::Warn, expected.to_owned())));
        let (_, text) = told(&[late(1, 8), late(2, 5)], false).unwrap();
        assert_eq!(text, format!("{expected}, and 1 more"));
        assert_eq!(told(&[late(1, 2), well()], true), None, "it has just begun");
        let how = "0 of 3 replaced: app.1 died after 2.2 s (exit code 3): no database".into();
        let failed_roll = Some(FailedRoll { at: now - Duration::from_secs(200), how });
        let status = Status { pool: "app".into(), count: 3, mixed: None, failed_roll, workers: Vec::new() };
        let expected =
            "the last roll failed 3 min ago, 0 of 3 replaced: app.1 died after 2.2 s (exit code 3): no database";
        assert_eq!(super::failed_roll(&status, now).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_refused_is_told_with_whom_how_long_and_how_it_ends() {
        let now = Instant::now();
        let barred = |whom: Whom| Barred {
            method: http::Method::GET,
            path: "/".to_owned(),
            whom,
            until: now + Duration::from_millis(42_300),
            deaths: 3,
        };
        let one = Whom::Client(Some(crate::net::Client::of([192, 0, 2, 7].into())));
        let told = super::barred(&[barred(one)], now).unwrap();
        let expected = "GET / is refused to client 192.0.2.7 for 43 s more: 3 workers died of it (a restart of the workers ends that, \
                        query_of_death = 0 turns it off)";
        assert_eq!(told, expected);
        let told = super::barred(&[(); 5].map(|()| barred(Whom::Everybody)), now).unwrap();
        assert!(told.contains("refused to every client") && told.contains("; 2 more like it ("), "{told}");
        assert_eq!(super::barred(&[], now), None);
    }

    #[test]
    fn failures_a_full_queue_and_a_slow_endpoint_are_told() {
        let now = Instant::now();
        let well = || row(worker(1, State::Ready, now), now);
        let errors = [("queue_full", 5)].into();
        let figures = PoolFigures { requests: 100, errors, ..PoolFigures::default() };
        let queue = Figures {
            queued: 512,
            queue_max: 1_024,
            crowd: None,
            longest_wait: Duration::ZERO,
            slots_used: 2,
            slots: 2,
            slots_each: 1,
        };
        let problem = of(&[well()], &figures, Some(queue), (true, &[])).unwrap();
        assert_eq!(
            problem.text,
            "5 of 100 requests failed: 5 queue_full; 512 of 1024 places in the queue are taken, and 2 of 2 slots in use"
        );
        // Full a moment ago, and a little less now.
        let problem = of(&[well()], &figures, Some(Figures { queued: 9, ..queue }), (true, &[])).unwrap();
        assert!(problem.text.ends_with("; 9 of 1024 places in the queue are taken, and 2 of 2 slots in use"));
        let crowd = Some((crate::net::Client::of([127, 0, 0, 1].into()), 512));
        let (_, text) = of(&[well()], &PoolFigures::default(), Some(Figures { crowd, ..queue }), (true, &[]))
            .map(|problem| (problem.level, problem.text))
            .unwrap();
        let expected = "client 127.0.0.1 has its half of the queue (512 of 1024), more of its requests get 503 queue_full; is it a proxy? \
                        name it in trusted_proxies. 512 places are taken, and 2 of 2 slots in use";
        assert_eq!(text, expected);
        let few = PoolFigures { requests: 1_000, ..figures };
        assert_eq!(of(&[well()], &few, Some(Figures { queued: 9, ..queue }), (true, &[])), None);
        let fails = |index: usize, closed_early: u64| {
            let mut row = row(worker(index, State::Ready, now), now);
            let mut figures = EndpointFigures::default();
            (figures.recent.ended, figures.recent.errors[3]) = (10, closed_early);
            (row.state, row.figures) = (RowState::Failing, Some(figures));
            row
        };
        let told = |rows: &[Row]| of(rows, &PoolFigures::default(), None, (true, &[])).unwrap().text;
        assert_eq!(told(&[fails(1, 6)]), "app.1 is failing: 6 of 10 requests, closed_early");
        assert_eq!(told(&[fails(1, 6), fails(2, 10)]), "2 failing: 16 of 20 requests, closed_early");
        let errors = [(STATUS, 1_208)].into();
        let figures = PoolFigures { requests: 1_208, errors, ..PoolFigures::default() };
        let text = of(&[well()], &figures, None, (true, &[])).unwrap().text;
        assert_eq!(text, "the workers themselves answer 5xx (1208 of 1208): see the app");
        let timed = |bucket: usize| {
            let mut figures = EndpointFigures::default();
            figures.recent.seconds.buckets[bucket] = 20;
            let mut row = well();
            row.figures = Some(figures);
            row
        };
        let problem = of(&[timed(3), timed(9), timed(3), timed(3)], &PoolFigures::default(), None, (true, &[]));
        let expected = "app.1 is slow: p50 ≤ 500 ms, others ≤ 5 ms".to_owned();
        assert_eq!(problem, Some(Problem { level: Level::Warn, text: expected }));
        assert_eq!(of(&[timed(9), timed(9)], &PoolFigures::default(), None, (true, &[])), None);
    }
}
