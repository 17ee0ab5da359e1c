//! What is known of an endpoint's health: a pure state machine.
//!
//! Decides, from probes and from the outcomes of requests, whether an endpoint is up, down, ejected for a time, or on
//! probation. Called by [`super::verdict`], which holds the lock and publishes the [`Standing`]. Never asks an endpoint and
//! never looks at a clock.

use std::time::{Duration, Instant};

use super::evidence::{Blame, Cause, Evidence};
use super::standing::{Change, Standing};
use crate::config::{EJECT_TIME_MAX, Health as Rules};
use crate::net::ClientKey;

/// One endpoint's health.
///
/// Probes and requests are judged apart: a probe that is answered says nothing of requests that fail, so it does not end an
/// ejection. That it is answered *again* does: what was wrong has changed, and a request on probation may find out.
#[derive(Debug)]
pub(super) struct Health {
    probed: Probed,
    /// Probes in a row that contradict `probed`.
    contradictions: u32,
    /// Requests in a row that failed; of an ejected endpoint, those on probation.
    evidence: Evidence,
    /// Whether the last that tried to connect could not.
    unreachable: bool,
    ejection: Ejection,
    /// How long the last ejection was, and when the endpoint came back from it.
    last: Option<(Duration, Option<Instant>)>,
    out_since: Option<Instant>,
    ramp_since: Option<Instant>,
    joined: bool,
}

/// What happened at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthEvent {
    /// It became a member of a pool.
    Joined,
    /// A probe was answered well.
    ProbeOk,
    /// A probe was not.
    ProbeFailed,
    /// A request was served.
    Served(ClaimedAs),
    /// A request failed, and it may be the endpoint's fault.
    Failed(ClaimedAs, Cause),
    /// A request ended without telling anything: its client left.
    Abandoned(ClaimedAs),
    /// It took no connection.
    Unreachable,
    /// It took one.
    Reachable,
}

/// What a request was when it got its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimedAs {
    /// One of many.
    Ordinary,
    /// The one that decides whether an ejection ends.
    OnProbation,
    /// Sent to an endpoint that is out, because too few are available.
    Despite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probed {
    Unknown,
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ejection {
    No,
    Until(Instant),
    Probation,
}

impl Health {
    /// Of an endpoint nobody knows anything of: available.
    pub(super) fn new() -> Self {
        Self {
            probed: Probed::Unknown,
            contradictions: 0,
            evidence: Evidence::default(),
            unreachable: false,
            ejection: Ejection::No,
            last: None,
            out_since: None,
            ramp_since: None,
            joined: false,
        }
    }

    /// What follows from `event`; the verdict, if it changed.
    pub(super) fn step(&mut self, event: HealthEvent, rules: &Rules, now: Instant) -> Option<Change> {
        match event {
            HealthEvent::Joined => {
                // Whoever goes over to a pool of the same endpoints has been up all the time.
                if !std::mem::replace(&mut self.joined, true) {
                    self.ramp(rules, now);
                }
                None
            }
            HealthEvent::ProbeOk => self.probed_well(rules, now),
            HealthEvent::ProbeFailed => self.probed_badly(rules, now),
            HealthEvent::Served(claimed) => self.served(claimed, rules, now),
            HealthEvent::Failed(claimed, cause) => self.failed((claimed, cause), rules, now),
            HealthEvent::Abandoned(ClaimedAs::OnProbation) if self.ejection == Ejection::Probation => {
                self.ejection = Ejection::Until(now);
                None
            }
            HealthEvent::Abandoned(_) => None,
            HealthEvent::Unreachable => {
                self.unreachable = true;
                None
            }
            HealthEvent::Reachable => self.reached(now),
        }
    }

    /// What a request of `client` is that gets a place once the time of an ejection is over: the one that decides; or none where
    /// another does so already, and it had better go elsewhere.
    pub(super) fn begin_probation(&mut self, client: ClientKey, now: Instant) -> Option<ClaimedAs> {
        if self.probed == Probed::Down || !matches!(self.ejection, Ejection::Until(until) if until <= now) {
            return None;
        }
        if self.evidence.has_heard(client, now) {
            return Some(ClaimedAs::Despite);
        }
        self.ejection = Ejection::Probation;
        Some(ClaimedAs::OnProbation)
    }

    /// What may be seen of it at a glance.
    pub(super) fn standing(&self) -> Standing {
        match (self.probed, self.ejection, self.ramp_since) {
            (Probed::Down, ..) => Standing::Down,
            (_, Ejection::Until(until), _) => Standing::Ejected(until),
            (_, Ejection::Probation, _) => Standing::Probation,
            (.., Some(since)) => Standing::Ramping(since),
            _ if self.evidence.failures > 0 => Standing::Suspect,
            _ => Standing::Fine,
        }
    }

    fn probed_well(&mut self, rules: &Rules, now: Instant) -> Option<Change> {
        if self.probed != Probed::Down {
            self.probed = Probed::Up;
            self.contradictions = 0;
            return None;
        }
        self.contradictions += 1;
        let rise = rules.probe.as_ref().map_or(1, |probe| probe.rise);
        if self.contradictions < rise {
            return None;
        }
        let probes = std::mem::take(&mut self.contradictions);
        (self.probed, self.evidence) = (Probed::Up, Evidence::default());
        let ejected = self.ejection != Ejection::No;
        if ejected {
            self.ejection = Ejection::Until(now);
            let out = self.out_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            return Some(Change::Up(probes, out, true));
        }
        Some(Change::Up(probes, self.returned(rules, now), false))
    }

    /// The first probe of all decides alone: there is no verdict yet that it could contradict.
    fn probed_badly(&mut self, rules: &Rules, now: Instant) -> Option<Change> {
        self.contradictions += 1;
        let fall = rules.probe.as_ref().map_or(1, |probe| probe.fall);
        match self.probed {
            Probed::Down => self.contradictions = 0,
            Probed::Up if self.contradictions < fall => {}
            Probed::Up | Probed::Unknown => {
                self.probed = Probed::Down;
                self.out_since.get_or_insert(now);
                return Some(Change::Down(std::mem::take(&mut self.contradictions)));
            }
        }
        None
    }

    /// A connection says nothing of requests that fail on it; but where there was none, what was wrong has changed.
    fn reached(&mut self, now: Instant) -> Option<Change> {
        let was_unreachable = std::mem::take(&mut self.unreachable);
        if !was_unreachable || !matches!(self.ejection, Ejection::Until(until) if until > now) {
            return None;
        }
        self.ejection = Ejection::Until(now);
        Some(Change::Reachable(self.out_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))))
    }

    fn served(&mut self, claimed: ClaimedAs, rules: &Rules, now: Instant) -> Option<Change> {
        match (self.ejection, claimed) {
            (Ejection::No, _) => {
                self.unreachable = false;
                self.evidence = Evidence::default();
                let over = |since| now.saturating_duration_since(since) >= rules.slow_start;
                self.ramp_since = self.ramp_since.filter(|since| !over(*since));
                None
            }
            // It began before the failures did, and proves nothing.
            (_, ClaimedAs::Ordinary) => None,
            (_, ClaimedAs::OnProbation | ClaimedAs::Despite) => {
                self.unreachable = false;
                (self.ejection, self.evidence) = (Ejection::No, Evidence::default());
                if let Some((_, back)) = &mut self.last {
                    *back = Some(now);
                }
                (self.probed != Probed::Down).then(|| Change::Back(self.returned(rules, now)))
            }
        }
    }

    fn failed(&mut self, (claimed, cause): (ClaimedAs, Cause), rules: &Rules, now: Instant) -> Option<Change> {
        match (self.ejection, claimed) {
            (Ejection::No, _) if self.probed != Probed::Down => {
                let finding = self.evidence.add(cause, rules.eject_after, now);
                if rules.eject_after == 0 || finding == Blame::Open {
                    return None;
                }
                let failures = std::mem::take(&mut self.evidence).failures;
                Some(Change::Ejected(self.eject(finding, rules, now), failures))
            }
            (Ejection::Probation, ClaimedAs::OnProbation) => match self.evidence.add(cause, 1, now) {
                Blame::Open => {
                    // Somebody else decides, at once.
                    self.ejection = Ejection::Until(now);
                    None
                }
                finding => {
                    self.evidence = Evidence::default();
                    Some(Change::Again(self.eject(finding, rules, now)))
                }
            },
            // Of those that were under way, and of those sent in spite of the verdict, nothing new is learned.
            _ => None,
        }
    }

    /// Twice as long as the last time where that is sure, and half as long for every `eject_time` that it has held out since.
    fn eject(&mut self, finding: Blame, rules: &Rules, now: Instant) -> Duration {
        let longest = EJECT_TIME_MAX.max(rules.eject_time);
        let last = self.last.filter(|_| finding == Blame::Sure);
        let time = last.map_or(rules.eject_time, |(time, back)| {
            let well = back.map_or(Duration::ZERO, |back| now.saturating_duration_since(back));
            let steps = (well.as_nanos() / rules.eject_time.as_nanos().max(1)).min(STEPS_MAX);
            ((time * 2) / (1 << steps)).clamp(rules.eject_time, longest)
        });
        self.last = Some((time, None));
        self.ejection = Ejection::Until(now + time);
        self.out_since.get_or_insert(now);
        time
    }

    /// It is back; how long it was out.
    fn returned(&mut self, rules: &Rules, now: Instant) -> Duration {
        self.ramp(rules, now);
        self.out_since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn ramp(&mut self, rules: &Rules, now: Instant) {
        self.ramp_since = (!rules.slow_start.is_zero()).then_some(now);
    }
}

/// Enough to come down from any height.
const STEPS_MAX: u128 = 30;

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
