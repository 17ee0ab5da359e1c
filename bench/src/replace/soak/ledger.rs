//! What was asked, what failed, and whether a kill explains it.
//!
//! Decides what a killed worker may break: whatever is not a GET that can be asked again elsewhere. Called by [`super::client`]
//! and [`super::report`]. Never forgives what failed while nobody was killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::schedule::Asked;
use super::super::tally::Sent;
use crate::crowd::summary::end_name;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Traffic {
    /// Of the load, most on connections that are kept.
    Get,
    Post,
    /// A connection each.
    GetOnce,
    Counted,
    Chunked,
    Tunnel,
    WebSocket,
    Stream,
}

/// One that failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) traffic: Traffic,
    /// The last moment at which all was well, and the first at which it was not.
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) why: String,
}

/// All of a soak.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) done: BTreeMap<Traffic, usize>,
    pub(super) failed: Vec<Failed>,
}

/// From before a worker was killed until another was ready in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl Traffic {
    pub(super) const ALL: [Traffic; 8] = [
        Traffic::Get,
        Traffic::Post,
        Traffic::GetOnce,
        Traffic::Counted,
        Traffic::Chunked,
        Traffic::Tunnel,
        Traffic::WebSocket,
        Traffic::Stream,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Traffic::Get => "GETs, connections kept",
            Traffic::Post => "POSTs, connections kept",
            Traffic::GetOnce => "GETs, a connection each",
            Traffic::Counted => "uploads, counted",
            Traffic::Chunked => "uploads, chunked",
            Traffic::Tunnel => "tunnels",
            Traffic::WebSocket => "WebSockets",
            Traffic::Stream => "event streams",
        }
    }

    /// What has left for a worker may not be asked again, and what has begun to come cannot; a GET can be (RFC 9110 section
    /// 9.2.2).
    pub(super) fn is_cut_by_a_kill(self) -> bool {
        !matches!(self, Traffic::Get | Traffic::GetOnce)
    }
}

impl Ledger {
    pub(super) fn note(&mut self, traffic: Traffic, failed: Option<Failed>) {
        *self.done.entry(traffic).or_default() += 1;
        self.failed.extend(failed);
    }

    /// Adds what a load that began then has sent.
    pub(super) fn take_in(&mut self, sent: &[Sent], begun: Instant) {
        for one in sent {
            let traffic = if Asked::of(one.number).post { Traffic::Post } else { Traffic::Get };
            let failed = (!one.is_served()).then(|| {
                let end = end_name(one.end);
                // Further lines have the request's id, and no two would be alike.
                let said = one.said.as_ref().and_then(|said| said.lines().next());
                let why = said.map_or_else(|| end.clone(), |said| format!("{end}: {said}"));
                let until = begun + one.at;
                Failed { traffic, since: until.checked_sub(one.latency).unwrap_or(begun), until, why }
            });
            self.note(traffic, failed);
        }
    }
}

impl Failed {
    pub(super) fn is_explained_by(&self, kills: &[Kill]) -> bool {
        let meets = |kill: &Kill| self.since <= kill.until + SLACK && self.until >= kill.since;
        self.traffic.is_cut_by_a_kill() && kills.iter().any(meets)
    }
}

/// A dead worker's sockets are closed when the kernel gets to it.
const SLACK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::visit::{End, Fault};

    #[test]
    fn a_kill_explains_what_it_met_and_no_get() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let failed = |traffic, since, until| Failed { traffic, since: at(since), until: at(until), why: String::new() };
        let kills = [Kill { since: at(10), until: at(11) }];
        for (traffic, since, until, explained) in [
            (Traffic::Tunnel, 9, 10, true),
            (Traffic::Counted, 11, 13, true),
            (Traffic::Post, 12, 12, true),
            (Traffic::Stream, 8, 9, false),
            (Traffic::Chunked, 13, 14, false),
            (Traffic::Get, 9, 12, false),
            (Traffic::GetOnce, 9, 12, false),
        ] {
            assert_eq!(failed(traffic, since, until).is_explained_by(&kills), explained, "{traffic:?} {since} {until}");
        }
        assert!(!failed(Traffic::Tunnel, 9, 12).is_explained_by(&[]));
    }

    #[test]
    fn a_load_is_taken_in_with_its_times() {
        let begun = Instant::now();
        let sent = |number, end| Sent {
            number,
            at: Duration::from_secs(5),
            latency: Duration::from_secs(2),
            end,
            said: Some("closed_early\nrequest id: 1".to_owned()),
        };
        let mut ledger = Ledger::default();
        let ok = End::Answered { status: 200, retry_after: false };
        ledger.take_in(&[sent(0, ok), sent(1, ok), sent(3, End::Failed(Fault::Cut))], begun);
        assert_eq!(ledger.done, [(Traffic::Get, 1), (Traffic::Post, 2)].into());
        let [failed] = ledger.failed.as_slice() else { panic!("{ledger:?}") };
        assert_eq!((failed.traffic, failed.why.as_str()), (Traffic::Post, "connection cut: closed_early"));
        assert_eq!([failed.since - begun, failed.until - begun], [3, 5].map(Duration::from_secs));
    }
}
