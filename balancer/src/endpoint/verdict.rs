//! The verdict on an endpoint as all threads see it: one number, read without a lock.
//!
//! Keeps [`Health`] under a short mutex that only news takes, publishes what follows from it, and tells every change of
//! verdict in one line. Called by [`super::Endpoint`]. Never decides.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::around::Around;
use super::evidence::Cause;
use super::health::{ClaimedAs, Health, HealthEvent};
use super::slow_start::{self, WHOLE};
use super::standing::{Change, Standing};
use crate::config::Health as Rules;
use crate::net::ClientKey;
use crate::shown;

/// What is known of an endpoint's health, by whom it is judged.
#[derive(Debug)]
pub(super) struct Verdict {
    /// A [`Standing`]; 0 is [`Standing::Fine`], so that a glance is one load and one comparison.
    standing: AtomicU64,
    /// In microseconds.
    slow_start: AtomicU64,
    /// Where the published times begin.
    born: Instant,
    judged: Mutex<Judged>,
}

/// What is thought of an endpoint, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing to object to.
    Fine,
    /// Its last request failed.
    Suspect,
    /// Out until its probes are answered again.
    Down,
    /// Out for so long.
    Ejected(Duration),
    /// The next request, or one that is under way, decides whether it comes back.
    Probation,
}

#[derive(Debug)]
struct Judged {
    health: Health,
    rules: Rules,
    pool: Arc<str>,
    around: Arc<Around>,
}

impl Verdict {
    /// Of an endpoint that is no member yet: available.
    pub(super) fn new() -> Self {
        Self {
            standing: AtomicU64::new(FINE),
            slow_start: AtomicU64::new(0),
            born: Instant::now(),
            judged: Mutex::new(Judged {
                health: Health::new(),
                rules: Rules::default(),
                pool: "".into(),
                around: Arc::default(),
            }),
        }
    }

    /// From now on `pool`, with these clients, judges by `rules`.
    pub(super) fn judged_by(&self, pool: &Arc<str>, rules: &Rules, around: &Arc<Around>) {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        (judged.pool, judged.rules, judged.around) = (Arc::clone(pool), rules.clone(), Arc::clone(around));
        self.slow_start.store(micros(rules.slow_start), Ordering::Relaxed);
        let Judged { health, rules, .. } = &mut *judged;
        health.step(HealthEvent::Joined, rules, Instant::now());
        self.publish(health);
    }

    /// Whether it is ejected, or on probation with a request under way; one that is down is neither.
    pub(super) fn is_ejected(&self) -> bool {
        matches!(self.load() & KINDS, EJECTED | PROBATION)
    }

    /// What is thought of it.
    pub(super) fn shown(&self, now: Instant) -> Shown {
        match self.decode(self.load()) {
            Standing::Fine | Standing::Ramping(_) => Shown::Fine,
            Standing::Suspect => Shown::Suspect,
            Standing::Down => Shown::Down,
            Standing::Probation => Shown::Probation,
            Standing::Ejected(until) => match until.saturating_duration_since(now) {
                Duration::ZERO => Shown::Probation,
                left => Shown::Ejected(left),
            },
        }
    }

    /// Whether it is out: down, ejected, or on probation with a request under way.
    pub(super) fn is_out(&self) -> bool {
        match self.load() {
            FINE => false,
            word => match self.decode(word) {
                Standing::Fine | Standing::Suspect | Standing::Ramping(_) => false,
                Standing::Down | Standing::Probation => true,
                Standing::Ejected(until) => Instant::now() < until,
            },
        }
    }

    /// Whether its probes say that it is down.
    pub(super) fn is_down(&self) -> bool {
        self.load() == DOWN
    }

    /// Whether the last that is known of it is a failure.
    pub(super) fn is_suspect(&self) -> bool {
        match self.load() {
            FINE => false,
            word => !matches!(self.decode(word), Standing::Fine | Standing::Ramping(_)),
        }
    }

    /// Its share of [`WHOLE`] while it ramps up.
    pub(super) fn share(&self) -> u32 {
        match self.load() {
            FINE => WHOLE,
            word => match self.decode(word) {
                Standing::Ramping(since) => {
                    let slow_start = Duration::from_micros(self.slow_start.load(Ordering::Relaxed));
                    slow_start::share(since.elapsed(), slow_start)
                }
                _ => WHOLE,
            },
        }
    }

    /// What a request of `client` that gets a place now is; `None` when another one took the probation since it was picked.
    pub(super) fn claim(&self, client: ClientKey) -> Option<ClaimedAs> {
        match self.load() {
            FINE => Some(ClaimedAs::Ordinary),
            word => match self.decode(word) {
                Standing::Fine | Standing::Suspect | Standing::Ramping(_) => Some(ClaimedAs::Ordinary),
                Standing::Ejected(until) if until <= Instant::now() => {
                    let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
                    let claimed = judged.health.begin_probation(client, Instant::now());
                    self.publish(&judged.health);
                    claimed
                }
                Standing::Down | Standing::Ejected(_) | Standing::Probation => Some(ClaimedAs::Despite),
            },
        }
    }

    /// A request was served; the usual case costs one load.
    pub(super) fn served(&self, endpoint: &str, claimed: ClaimedAs) {
        if self.load() != FINE {
            self.step(endpoint, HealthEvent::Served(claimed), &"");
        }
    }

    /// A request failed, and no byte of it had reached the endpoint.
    pub(super) fn failed_alone(&self, endpoint: &str, claimed: ClaimedAs, why: &dyn Display) {
        self.step(endpoint, HealthEvent::Failed(claimed, Cause::Endpoint), why);
    }

    /// A request of `client` failed, perhaps by what it asked for.
    pub(super) fn failed(&self, endpoint: &str, (claimed, client): (ClaimedAs, ClientKey), why: &dyn Display) {
        let around = {
            let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
            judged.around.count(Instant::now())
        };
        self.step(endpoint, HealthEvent::Failed(claimed, Cause::Request { client, around }), why);
    }

    /// Something else has happened; `why` is told where the verdict changes.
    pub(super) fn step(&self, endpoint: &str, event: HealthEvent, why: &dyn Display) {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let Judged { health, rules, pool, .. } = &mut *judged;
        let change = health.step(event, rules, Instant::now());
        self.publish(health);
        // Told under the lock, so that the lines stand in the order of the changes; writing is queued.
        if let Some(change) = change {
            tell(pool, endpoint, change, why);
        }
    }

    fn load(&self) -> u64 {
        self.standing.load(Ordering::Relaxed)
    }

    fn publish(&self, health: &Health) {
        let since_born = |at: Instant| micros(at.saturating_duration_since(self.born)) << KIND_BITS;
        let word = match health.standing() {
            Standing::Fine => FINE,
            Standing::Suspect => SUSPECT,
            Standing::Down => DOWN,
            Standing::Probation => PROBATION,
            Standing::Ramping(since) => RAMPING | since_born(since),
            Standing::Ejected(until) => EJECTED | since_born(until),
        };
        self.standing.store(word, Ordering::Relaxed);
    }

    fn decode(&self, word: u64) -> Standing {
        let at = || self.born + Duration::from_micros(word >> KIND_BITS);
        match word & KINDS {
            SUSPECT => Standing::Suspect,
            DOWN => Standing::Down,
            PROBATION => Standing::Probation,
            RAMPING => Standing::Ramping(at()),
            EJECTED => Standing::Ejected(at()),
            _ => Standing::Fine,
        }
    }
}

/// One line a change: which endpoint, why, for how long, what comes next.
fn tell(pool: &str, endpoint: &str, change: Change, why: &dyn Display) {
    match change {
        Change::Down(1) => {
            tracing::warn!("pool {pool}: {endpoint} is down: its probe failed ({why}); out until it is answered again");
        }
        Change::Down(probes) => tracing::warn!(
            "pool {pool}: {endpoint} is down: {probes} probes in a row failed (the last: {why}); out until they are \
             answered again"
        ),
        Change::Up(probes, out, ejected) => {
            let next = if ejected { ", and one request decides whether it stays" } else { "" };
            tracing::info!("pool {pool}: {endpoint} is up after {}: {} answered{next}", Seconds(out), Probes(probes));
        }
        Change::Ejected(time, failures) => tracing::warn!(
            "pool {pool}: {endpoint} is ejected for {}: {failures} requests in a row failed (the last: {why}); then one \
             request decides",
            Seconds(time)
        ),
        Change::Again(time) => tracing::warn!(
            "pool {pool}: {endpoint} is ejected for {} more: the request on probation failed ({why})",
            Seconds(time)
        ),
        Change::Reachable(out) => tracing::info!(
            "pool {pool}: {endpoint} takes connections again after {}: one request decides whether it stays",
            Seconds(out)
        ),
        Change::Back(out) => {
            tracing::info!("pool {pool}: {endpoint} is back after {}: a request was served", Seconds(out));
        }
    }
}

struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown::time(self.0))
    }
}

struct Probes(u32);

impl Display for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("a probe was"),
            probes => write!(f, "{probes} probes in a row were"),
        }
    }
}

/// Of 600,000 years at most.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const FINE: u64 = 0;
const SUSPECT: u64 = 1;
const DOWN: u64 = 2;
const PROBATION: u64 = 3;
const RAMPING: u64 = 4;
const EJECTED: u64 = 5;
/// A kind takes these; the rest is a time.
const KIND_BITS: u32 = 3;
const KINDS: u64 = (1 << KIND_BITS) - 1;
