//! What became of the requests, counted.
//!
//! Decides what failed and what was run twice. Called by the scenarios once the load is over. Never does I/O: pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::schedule::Asked;
use crate::crowd::summary::{Latencies, end_name};
use crate::crowd::visit::End;

/// A request that has ended.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) number: u64,
    /// When it ended, since the load's start.
    pub(super) at: Duration,
    /// Since it was due.
    pub(super) latency: Duration,
    pub(super) end: End,
    /// The answer's body where it was not 200.
    pub(super) said: Option<String>,
}

impl Sent {
    pub(super) fn is_served(&self) -> bool {
        matches!(self.end, End::Answered { status: 200, .. })
    }
}

/// One that failed, in words.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    number: u64,
    method: &'static str,
    at_seconds: f64,
    end: String,
    said: Option<String>,
}

/// All of a load.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) gets: usize,
    pub(super) posts: usize,
    pub(super) failed_gets: usize,
    pub(super) failed_posts: usize,
    /// POSTs that more than one worker ran, or one more than once.
    pub(super) run_twice: usize,
    /// POSTs answered 200 that no worker has recorded: the count above would be worth nothing.
    pub(super) not_recorded: usize,
    /// How often each end came.
    pub(super) ends: BTreeMap<String, usize>,
    /// The first that failed.
    pub(super) failures: Vec<Failed>,
    pub(super) latencies: Option<Latencies>,
}

impl Tally {
    /// `runs`: how often each POST was run, by number.
    pub(super) fn of(sent: &[Sent], runs: &HashMap<u64, u32>) -> Tally {
        let mut tally = Tally::default();
        for one in sent {
            let (post, served) = (Asked::of(one.number).post, one.is_served());
            let [all, failed] = if post {
                [&mut tally.posts, &mut tally.failed_posts]
            } else {
                [&mut tally.gets, &mut tally.failed_gets]
            };
            *all += 1;
            *failed += usize::from(!served);
            if post {
                let times = runs.get(&one.number).copied().unwrap_or(0);
                tally.run_twice += usize::from(times > 1);
                tally.not_recorded += usize::from(served && times == 0);
            }
            let end = end_name(one.end);
            if !served && tally.failures.len() < FAILURES_MAX {
                let (method, at_seconds) = (if post { "POST" } else { "GET" }, one.at.as_secs_f64());
                let (end, said) = (end.clone(), one.said.clone());
                tally.failures.push(Failed { number: one.number, method, at_seconds, end, said });
            }
            *tally.ends.entry(end).or_default() += 1;
        }
        let milliseconds: Vec<f64> = sent.iter().map(|one| one.latency.as_secs_f64() * 1e3).collect();
        tally.latencies = Latencies::of(&milliseconds);
        tally
    }

    pub(super) fn requests(&self) -> usize {
        self.gets + self.posts
    }
}

/// Numbers of the lines that workers wrote; `prefix` is of one load. A line that is not one of its is another's.
pub(super) fn runs(lines: &str, prefix: char, runs: &mut HashMap<u64, u32>) {
    for number in lines.lines().filter_map(|line| line.strip_prefix(prefix)?.parse().ok()) {
        *runs.entry(number).or_default() += 1;
    }
}

const FAILURES_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::visit::Fault;

    fn sent(number: u64, end: End) -> Sent {
        Sent { number, at: Duration::from_millis(number), latency: Duration::from_millis(number), end, said: None }
    }

    fn answered(status: u16) -> End {
        End::Answered { status, retry_after: false }
    }

    #[test]
    fn gets_and_posts_are_counted_apart_and_runs_by_number() {
        let all = [
            sent(0, answered(200)),
            sent(2, answered(502)),
            sent(1, answered(200)),
            sent(3, answered(200)),
            sent(5, End::Failed(Fault::Cut)),
            sent(7, answered(200)),
        ];
        let mut counted = HashMap::new();
        runs("r1\nr3\nr3\nc7\nr5\nrubbish\n", 'r', &mut counted);
        runs("r5\n", 'r', &mut counted);
        let tally = Tally::of(&all, &counted);
        assert_eq!((tally.gets, tally.posts, tally.requests()), (2, 4, 6));
        assert_eq!((tally.failed_gets, tally.failed_posts), (1, 1));
        assert_eq!((tally.run_twice, tally.not_recorded), (2, 1));
        let ends = [("200", 4), ("502", 1), ("connection cut", 1)].map(|(end, count)| (end.to_owned(), count));
        assert_eq!(tally.ends, ends.into());
        let failures: Vec<_> = tally.failures.iter().map(|failed| (failed.number, failed.method)).collect();
        assert_eq!(failures, [(2, "GET"), (5, "POST")]);
        assert_eq!(tally.latencies.map(|latencies| latencies.max), Some(7.0));
    }
}
