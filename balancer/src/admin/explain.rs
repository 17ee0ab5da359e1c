//! Why a request went as it did, as JSON: of one by its id, or a list of those that somebody may ask about.
//!
//! Decides which words tell of a choice, and which lines of workers belong to a request. Called by [`super::route`]. Makes text of what was
//! remembered as ids and numbers; never asked by a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{JSON, ServiceAnswer, plain, text};
use super::follow::is_of;
use super::{Instance, ServedPool};
use crate::config::Policy;
use crate::observe::{By, Candidate, Candidates, Claim, Clock, Journal, JournalLine, Past, Which, printable};
use crate::pool::Pool;

/// The request of that id.
pub(super) fn one(instance: &Instance, id: &str) -> ServiceAnswer {
    let id = id.to_ascii_lowercase();
    if id.len() != DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return plain(
            StatusCode::BAD_REQUEST,
            "an id is 32 hexadecimal digits, as in the access log or below an error",
        );
    }
    match instance.stories.find(id.as_bytes()) {
        Some((which, story)) => answer(&told(instance, which, &story)),
        None if !instance.stories.are_kept() => plain(StatusCode::NOT_FOUND, OFF),
        None => plain(StatusCode::NOT_FOUND, &format!("no request {id} is remembered: {WHY_NOT}")),
    }
}

/// The last ones of a kind.
pub(super) fn list(instance: &Instance, which: Option<&str>, most: Option<usize>) -> ServiceAnswer {
    let Some((which, name)) = KINDS.into_iter().find(|(_, name)| *name == which.unwrap_or("failed")) else {
        return plain(StatusCode::BAD_REQUEST, "`which` is failed, slow or recent");
    };
    if !instance.stories.are_kept() {
        return plain(StatusCode::NOT_FOUND, OFF);
    }
    let clock = Clock::new();
    let stories = instance.stories.list(which, most.unwrap_or(LISTED).min(LISTED_MAX));
    let requests: Vec<Value> = stories.iter().map(|story| in_short(&clock, story)).collect();
    answer(&json!({ "version": VERSION, "which": name, "requests": requests }))
}

fn answer(value: &Value) -> ServiceAnswer {
    text(StatusCode::OK, JSON, format!("{}\n", printable::in_json(&value.to_string())))
}

fn in_short(clock: &Clock, story: &Past) -> Value {
    json!({
        "id": id(story),
        "begun": time(clock, story.begun),
        "seconds": seconds(story.took),
        "method": story.method.as_str(),
        "status": story.status.as_u16(),
        "reason": story.reason,
        "pool": story.pool.as_deref(),
        "endpoint": story.last.as_ref().map(|(claim, _)| &*claim.endpoint),
        "attempts": story.before.len() + usize::from(story.last.is_some()),
    })
}

fn told(instance: &Instance, which: Which, story: &Past) -> Value {
    let (clock, served) = (Clock::new(), instance.served.load());
    let of = |one: &&ServedPool| story.pool.as_ref().is_some_and(|name| one.pool.name() == name);
    let pool = served.pools.iter().find(of);
    let (lines, left_out) = pool.map(|pool| lines(&clock, pool, story)).unwrap_or_default();
    json!({
        "version": VERSION,
        "id": id(story),
        "remembered_as": KINDS.iter().find(|(kind, _)| *kind == which).map(|(_, name)| name),
        "begun": time(&clock, story.begun),
        "seconds": seconds(story.took),
        "method": story.method.as_str(),
        "status": story.status.as_u16(),
        "bytes": story.bytes,
        "reason": story.reason,
        "rejected": story.rejected,
        "pool": story.pool.as_deref(),
        "policy": pool.map(|one| policy(&one.pool)),
        "queued_seconds": seconds(story.queued),
        "attempts": attempts(pool.map(|one| &*one.pool), story),
        "candidates": story.candidates.as_deref().map(candidates),
        "candidates_left_out": story.candidates.as_ref().map_or(0, |candidates| candidates.more),
        "lines": lines,
        "lines_left_out": left_out,
    })
}

fn attempts(pool: Option<&Pool>, story: &Past) -> Vec<Value> {
    let some = story.candidates.as_deref();
    let attempt = |number: usize, claim: &Claim, took: Option<Duration>, outcome: &str| {
        let tried: Vec<&str> = story.before.iter().take(number).map(|one| &*one.claim.endpoint).collect();
        json!({
            "endpoint": &*claim.endpoint,
            "after_seconds": seconds(claim.at.saturating_duration_since(story.begun)),
            "seconds": took.map(seconds),
            "outcome": outcome,
            "in_flight": claim.choice.in_flight,
            "why": why(pool, claim, some, &tried),
        })
    };
    let failed = story.before.iter().enumerate().map(|(number, one)| {
        let took = one.ended.saturating_duration_since(one.claim.at);
        attempt(number, &one.claim, Some(took), one.why)
    });
    let last = story.last.iter().map(|(claim, took)| {
        let outcome = story.reason.map_or_else(|| format!("status {}", story.status.as_u16()), str::to_owned);
        attempt(story.before.len(), claim, *took, &outcome)
    });
    failed.chain(last).collect()
}

/// Why the request went there, in a sentence. `tried` have failed it before.
fn why(pool: Option<&Pool>, claim: &Claim, candidates: Option<&Candidates>, tried: &[&str]) -> String {
    let state = |name: &str| {
        let found = candidates?.some.iter().find(|one| *one.name == *name)?;
        Some(found.state)
    };
    let sentence = match (claim.choice.by, pool.map(Pool::policy)) {
        (By::Cookie, _) => "the client's affinity cookie names it".to_owned(),
        (By::Want, _) => format!(
            "its health speaks against it ({}): it was asked on probation, or for want of others",
            state(&claim.endpoint).filter(|state| *state != "up").unwrap_or("since a moment before")
        ),
        (By::Policy, None) => "its pool is gone, and with it the policy".to_owned(),
        (By::Policy, Some(policy)) => format!("{}: {}", named(policy), rule(policy, claim.choice.in_flight)),
    };
    let up = candidates.map(|all| (all.some.iter().filter(|one| one.state == "up").count(), all.some.len() + all.more));
    let of_how_many = match up {
        Some((up, all)) if claim.choice.by == By::Policy => format!("; {up} of {all} took requests"),
        _ => String::new(),
    };
    let others = match tried {
        [] => String::new(),
        tried => format!("; {} had failed it", tried.join(", ")),
    };
    format!("{sentence}{of_how_many}{others}")
}

fn rule(policy: &Policy, in_flight: u32) -> String {
    match policy {
        Policy::RoundRobin => "it was its turn".to_owned(),
        Policy::LeastConnections => format!("it had the fewest requests for its weight, {in_flight} with this one"),
        Policy::TwoChoices => format!("of two drawn at random it had fewer requests, {in_flight} with this one"),
        Policy::Random => "it was drawn".to_owned(),
        Policy::Hash(_) => "the hash of the request's key leads to it".to_owned(),
    }
}

fn policy(pool: &Pool) -> &'static str {
    named(pool.policy())
}

fn named(policy: &Policy) -> &'static str {
    match policy {
        Policy::RoundRobin => "round_robin",
        Policy::LeastConnections => "least_connections",
        Policy::TwoChoices => "two_choices",
        Policy::Random => "random",
        Policy::Hash(_) => "hash",
    }
}

fn candidates(candidates: &Candidates) -> Value {
    let one = |one: &Candidate| json!({ "name": &*one.name, "state": one.state, "in_flight": one.in_flight });
    candidates.some.iter().map(one).collect()
}

/// What the workers that had the request printed around that time: the last of it, and how many lines are left out.
fn lines(clock: &Clock, served: &ServedPool, story: &Past) -> (Vec<Value>, usize) {
    let asked = story.before.iter().map(|one| &one.claim).chain(story.last.iter().map(|(claim, _)| claim));
    let mut workers: Vec<&Arc<str>> = asked.map(|claim| &claim.endpoint).collect();
    workers.dedup();
    if served.supervisor.is_none() || workers.is_empty() {
        return Default::default();
    }
    let moment = |at: Instant| stamp(clock, at).unwrap_or_default();
    let (from, until) = (story.begun.checked_sub(BEFORE).unwrap_or(story.begun), story.begun + story.took + AFTER);
    let (from, until) = (moment(from), moment(until));
    let is_wanted = |line: &JournalLine| {
        (from..=until).contains(&line.at) && workers.iter().any(|worker| is_of(&line.text, worker))
    };
    let all = wanted(&served.log, is_wanted);
    let left_out = all.len().saturating_sub(LINES);
    let line = |line: &JournalLine| {
        let time = line.at.strftime(TIME).to_string();
        json!({ "time": time, "text": String::from_utf8_lossy(&line.text).trim_end() })
    };
    (all.iter().skip(left_out).map(line).collect(), left_out)
}

fn wanted(log: &Arc<Journal>, is_wanted: impl Fn(&JournalLine) -> bool) -> Vec<JournalLine> {
    let (mut reader, mut all) = (log.read(), Vec::new());
    // A log that fills faster than it is read ends too.
    for _ in 0..PIECES {
        let (taken, _) = reader.take();
        if taken.is_empty() {
            break;
        }
        all.extend(taken.into_iter().filter(&is_wanted));
    }
    all
}

fn id(story: &Past) -> String {
    String::from_utf8_lossy(&story.id).into_owned()
}

fn stamp(clock: &Clock, at: Instant) -> Option<Timestamp> {
    let wall = clock.wall(at);
    Timestamp::new(wall.as_secs().try_into().ok()?, wall.subsec_nanos().try_into().ok()?).ok()
}

fn time(clock: &Clock, at: Instant) -> String {
    stamp(clock, at).unwrap_or_default().strftime(TIME).to_string()
}

/// To the microsecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

/// Of what is told; another one when a field changes its meaning.
const VERSION: u32 = 1;
const KINDS: [(Which, &str); 3] = [(Which::Failed, "failed"), (Which::Slow, "slow"), (Which::Recent, "recent")];
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";
/// Of an id.
const DIGITS: usize = 32;
/// Requests of a list, and the most.
const LISTED: usize = 20;
const LISTED_MAX: usize = 500;
/// Lines of workers.
const LINES: usize = 20;
/// How long before a request's begin, and after its end, a line of its worker belongs to it.
const BEFORE: Duration = Duration::from_millis(100);
const AFTER: Duration = Duration::from_secs(1);
/// Of a log, in pieces of some hundred lines.
const PIECES: usize = 1_000;
const OFF: &str = "requests are not remembered: `explain` in [admin] is false";
const WHY_NOT: &str = "it has not ended yet, ended too long ago (each thread remembers its last 1,024 requests, its last 512 that \
    failed, and for 15 minutes the 32 slowest of each), or another balancer has served it";
