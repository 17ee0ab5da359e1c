//! What the log hears of a name: news, once.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::known::PlaceChanges;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct NameNews {
    /// Whether it was answered at all.
    answered: bool,
    problem: Option<String>,
    ours: BTreeSet<SocketAddr>,
}

impl NameNews {
    /// An answer: what is wrong with it, how many addresses there are now, and what it has changed.
    pub(super) fn answer(&mut self, who: &str, problem: Option<&str>, count: usize, changes: &PlaceChanges) {
        if !changes.come.is_empty() || !changes.gone.is_empty() {
            let come = list("new", changes.come.iter().map(|place| place.address));
            let gone = list("gone", changes.gone.iter().copied());
            let news = [come, gone].into_iter().flatten().collect::<Vec<_>>().join("; ");
            tracing::info!("{who} has {}: {news}", addresses(count));
        }
        if changes.refused > 0 {
            tracing::warn!("{who} has more addresses than balancer takes: {} are left out", changes.refused);
        }
        match problem {
            Some(problem) if self.problem.as_deref() != Some(problem) => match count {
                0 => {
                    tracing::warn!("{who} has no address: {problem}; requests cannot be served there until it has one")
                }
                count => tracing::warn!("{who} is not answered: {problem}; its {} stay for now", addresses(count)),
            },
            None if self.problem.is_some() && self.answered => tracing::info!("{who} is answered again"),
            _ => {}
        }
        self.answered |= problem.is_none();
        self.problem = problem.map(str::to_owned);
    }

    /// An address that is our own listener's.
    pub(super) fn ours(&mut self, who: &str, address: SocketAddr) {
        if self.ours.len() < OURS_MAX && self.ours.insert(address) {
            tracing::warn!("{who} leads to {address}, where balancer itself listens: it gets no requests");
        }
    }
}

fn list(what: &str, addresses: impl Iterator<Item = SocketAddr>) -> Option<String> {
    let all: Vec<String> = addresses.map(|address| address.to_string()).collect();
    let more = all.len().saturating_sub(SHOWN_MAX);
    let first = all[..all.len() - more].join(", ");
    match (all.len(), more) {
        (0, _) => None,
        (_, 0) => Some(format!("{first} {what}")),
        (_, more) => Some(format!("{first} and {more} others {what}")),
    }
}

fn addresses(count: usize) -> String {
    format!("{count} address{}", if count == 1 { "" } else { "es" })
}

/// A line must not fill the log.
const SHOWN_MAX: usize = 8;
const OURS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_addresses_are_told_in_short() {
        let all = |count: u16| list("new", (0..count).map(|port| SocketAddr::from(([10, 0, 0, 1], port))));
        assert_eq!(all(0), None);
        assert_eq!(all(2).unwrap(), "10.0.0.1:0, 10.0.0.1:1 new");
        assert!(all(20).unwrap().ends_with("10.0.0.1:7 and 12 others new"));
    }
}
