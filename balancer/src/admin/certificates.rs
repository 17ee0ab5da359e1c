//! How it is with certificates, in words: for `/api/certificates`, `/metrics` and the problems of the status.
//!
//! Decides what is a problem and how bad it is, and which stands first. Called by [`super::route`], [`super::status`] and
//! [`super::prometheus`]. Never reads a file and never asks a CA: whoever does that has told.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Instance;
use super::exposition::Text;
use super::row_state::Level;
use crate::observe::printable;
use crate::shown::distance;
use crate::tls::Standing;

/// The certificate for one name at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateView {
    pub(super) standing: Standing,
    pub(super) state: CertificateState,
    /// A sentence, without the name.
    pub(super) problem: Option<String>,
    now: Timestamp,
}

/// What a certificate is good for. The worst stands last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CertificateState {
    Ok,
    /// It counts for long still, and the last try to renew it failed.
    NotRenewed,
    /// There is none, and the first order goes on.
    Ordered,
    /// It is about to expire, and nobody is known to renew it.
    Expiring,
    NotValidYet,
    Expired,
    /// There is none, and an order has failed.
    Missing,
}

impl CertificateState {
    /// As a program reads it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotRenewed => "not_renewed",
            Self::Ordered => "ordered",
            Self::Expiring => "expiring",
            Self::NotValidYet => "not_valid_yet",
            Self::Expired => "expired",
            Self::Missing => "missing",
        }
    }

    fn level(self) -> Level {
        match self {
            Self::Ok => Level::Ok,
            Self::NotRenewed | Self::Ordered | Self::Expiring => Level::Warn,
            Self::NotValidYet | Self::Expired | Self::Missing => Level::Bad,
        }
    }
}

impl CertificateView {
    pub(super) fn of(standing: Standing, now: Timestamp) -> Self {
        // Names, paths and sentences of others stand in lines.
        let Standing { name, from, problem, .. } = &standing;
        let (name, from, problem) = (printed(name), printed(from), problem.as_deref().map(printed));
        let standing = Standing { name, from, problem, ..standing };
        let state = state(&standing, now);
        let problem = problem_of(&standing, state, now);
        Self { standing, state, problem, now }
    }

    fn seconds_until(&self, at: Option<Timestamp>) -> Option<i64> {
        at.map(|at| seconds(self.now, at))
    }

    /// Whether it is the same that is wrong with both, apart from when they are tried again.
    fn suffers_as(&self, other: &Self) -> bool {
        let expires = |view: &Self| view.seconds_until(view.standing.not_after).map(distance);
        let is_same = (self.state, &self.standing.problem) == (other.state, &other.standing.problem);
        is_same && expires(self) == expires(other)
    }

    fn json(&self) -> Value {
        let Standing { name, from, not_before, not_after, next, .. } = &self.standing;
        json!({
            "name": name,
            "from": from,
            "state": self.state.as_str(),
            "level": self.state.level().as_str(),
            "problem": self.problem,
            "not_before": not_before.map(|at| at.to_string()),
            "not_after": not_after.map(|at| at.to_string()),
            "expires_seconds": self.seconds_until(*not_after),
            "next_order_seconds": self.seconds_until(*next),
        })
    }
}

/// Those of the instance, the worst first.
pub(super) fn views(instance: &Instance, now: Timestamp) -> Vec<CertificateView> {
    sorted(instance.certificates.standings(), now)
}

/// The worst first; of those that are equal, the one that expires first.
pub(super) fn sorted(standings: Vec<Standing>, now: Timestamp) -> Vec<CertificateView> {
    let mut all: Vec<_> = standings.into_iter().map(|standing| CertificateView::of(standing, now)).collect();
    all.sort_by(|one, other| {
        let key = |view: &CertificateView| (Reverse(view.state), view.standing.not_after);
        key(one).cmp(&key(other)).then_with(|| one.standing.name.cmp(&other.standing.name))
    });
    all
}

/// What `/api/certificates` says.
pub(super) fn json(views: &[CertificateView]) -> Value {
    json!({ "certificates": views.iter().map(CertificateView::json).collect::<Vec<_>>() })
}

/// What belongs into the status: those that clients refuse, or soon will. Names that suffer from the same share a line.
pub(super) fn problems(views: &[CertificateView]) -> Vec<(Level, String)> {
    let mut told: Vec<(&CertificateView, Vec<&str>)> = Vec::new();
    for view in views.iter().filter(|view| view.state >= CertificateState::Expiring) {
        let name = view.standing.name.as_str();
        match told.iter_mut().find(|(known, _)| known.suffers_as(view)) {
            Some((known, names)) => {
                names.push(name);
                // The one that is tried again first.
                if view.standing.next < known.standing.next {
                    *known = view;
                }
            }
            None => told.push((view, vec![name])),
        }
    }
    let line = |(view, names): (&CertificateView, Vec<&str>)| {
        let shown = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = match names.len().saturating_sub(NAMES_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (view.state.level(), format!("certificate for {shown}{more}: {}", view.problem.as_deref().unwrap_or_default()))
    };
    told.into_iter().map(line).collect()
}

impl Text {
    /// Until when each certificate counts, and whether something is wrong.
    pub(super) fn certificates(&mut self, views: &[CertificateView]) {
        let (expiry, problem) = ("certificate_expiry_timestamp_seconds", "certificate_problem");
        self.family(expiry, "gauge", "When the certificate for a name expires, in seconds since 1970.");
        for CertificateView { standing, .. } in views {
            if let Some(at) = standing.not_after {
                self.sample(expiry, &[("name", &standing.name)], at.as_second() as f64);
            }
        }
        self.family(problem, "gauge", "1: the certificate for a name is missing, expires soon, or was not renewed.");
        for CertificateView { standing, state, .. } in views {
            let value = f64::from(u8::from(state.level() > Level::Ok));
            self.sample(problem, &[("name", &standing.name)], value);
        }
    }
}

fn state(standing: &Standing, now: Timestamp) -> CertificateState {
    let has_failed = standing.problem.is_some();
    let Some(not_after) = standing.not_after else {
        return if has_failed { CertificateState::Missing } else { CertificateState::Ordered };
    };
    // One that lives for days only is renewed in its last ones.
    let will_be_renewed = !has_failed && standing.next.is_some_and(|next| next < not_after);
    match seconds(now, not_after) {
        left if left <= 0 => CertificateState::Expired,
        _ if standing.not_before.is_some_and(|from| from > now) => CertificateState::NotValidYet,
        left if left < SOON.as_secs().cast_signed() && !will_be_renewed => CertificateState::Expiring,
        _ if has_failed => CertificateState::NotRenewed,
        _ => CertificateState::Ok,
    }
}

fn problem_of(standing: &Standing, state: CertificateState, now: Timestamp) -> Option<String> {
    let away = |at: Option<Timestamp>| at.map_or_else(|| "now".to_owned(), |at| distance(seconds(now, at)));
    let what = match state {
        CertificateState::Ok => return None,
        CertificateState::Ordered => return Some("there is none yet: the first is being ordered".to_owned()),
        CertificateState::Missing => Some("there is none".to_owned()),
        CertificateState::Expired => Some(format!("expired {}", away(standing.not_after))),
        CertificateState::Expiring => Some(format!("expires {}", away(standing.not_after))),
        CertificateState::NotValidYet => Some(format!("is not valid yet: it will be {}", away(standing.not_before))),
        CertificateState::NotRenewed => None,
    };
    let tried = if state == CertificateState::Missing { "the order" } else { "renewal" };
    let failed = standing.problem.as_deref().map(|why| match standing.next {
        Some(next) => format!("{tried} failed: {why}, tried again {}", away(Some(next))),
        // Files are looked at every second.
        None => format!("what its files have now is not shown: {why}"),
    });
    let parts: Vec<String> = what.into_iter().chain(failed).collect();
    Some(parts.join("; "))
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second().saturating_sub(from.as_second())
}

/// Everything of others on one line.
fn printed(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    printable::push_line(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// Time in which somebody can do something still.
const SOON: Duration = Duration::from_secs(3 * 86_400);
/// Names in one line of the status.
const NAMES_MAX: usize = 3;
