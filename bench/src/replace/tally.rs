//! What became of the requests, counted.
//!
//! Decides what failed and what was run twice. Called by the scenarios once the load is over. Never does I/O: pure.

use std::collections::HashMap;

use super::schedule::Asked;
use crate::{load::Sent, load::answer::ends_text};

/// All of a load.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) gets: usize,
    pub(super) posts: usize,
    pub(super) failed_gets: usize,
    pub(super) failed_posts: usize,
    /// POSTs that more than one worker ran, or one more than once.
    pub(super) run_twice: usize,
    /// POSTs answered 200 that no worker has recorded: the count above would be worth nothing.
    pub(super) not_recorded: usize,
    /// How often each end came, and the first that failed, in words.
    pub(super) notes: Vec<String>,
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
            if !served && tally.notes.len() < FAILURES_MAX {
                tally.notes.push(in_words(one));
            }
        }
        if !tally.notes.is_empty() {
            tally.notes.insert(0, ends_text(sent.iter().map(|one| one.end)));
        }
        tally
    }

    pub(super) fn requests(&self) -> usize {
        self.gets + self.posts
    }
}

/// "POST 5 at second 1.250: 502 (502 Bad Gateway: closed_early)"
fn in_words(one: &Sent) -> String {
    let method = if Asked::of(one.number).post { "POST" } else { "GET" };
    let said = one.said.as_ref().map_or_else(String::new, |said| format!(" ({said})"));
    format!("{method} {} at second {:.3}: {}{said}", one.number, one.at.as_secs_f64(), one.end.name())
}

/// Numbers of the lines that workers wrote; `prefix` is of one load. A line that is not one of its is another's.
pub(super) fn runs(lines: &str, prefix: char, runs: &mut HashMap<u64, u32>) {
    for number in lines.lines().filter_map(|line| line.strip_prefix(prefix)?.parse().ok()) {
        *runs.entry(number).or_default() += 1;
    }
}

const FAILURES_MAX: usize = 50;

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::answer::{End, Fault};

    /// A request that ended at `at` milliseconds and took as long.
    pub(in crate::replace) fn sent(number: u64, at: u64, end: End) -> Sent {
        let [due, at] = [Duration::ZERO, Duration::from_millis(at)];
        Sent { number, kind: 0, due, set_out: due, well: due, at, end, said: None }
    }

    #[test]
    fn gets_and_posts_are_counted_apart_and_runs_by_number() {
        let answered = |status: u16| End::Answered { status, retry_after: false };
        let ends = [(0, answered(200)), (2, answered(502)), (1, answered(200)), (3, answered(200))];
        let ends = ends.into_iter().chain([(5, End::Failed(Fault::Cut)), (7, answered(200))]);
        let all: Vec<Sent> = ends.map(|(number, end)| sent(number, number, end)).collect();
        let mut counted = HashMap::new();
        runs("r1\nr3\nr3\nc7\nr5\nrubbish\n", 'r', &mut counted);
        runs("r5\n", 'r', &mut counted);
        let tally = Tally::of(&all, &counted);
        assert_eq!((tally.gets, tally.posts, tally.requests()), (2, 4, 6));
        assert_eq!((tally.failed_gets, tally.failed_posts), (1, 1));
        assert_eq!((tally.run_twice, tally.not_recorded), (2, 1));
        let notes = [
            "4 × 200, 1 × 502, 1 × connection cut",
            "GET 2 at second 0.002: 502",
            "POST 5 at second 0.005: connection cut",
        ];
        assert_eq!(tally.notes, notes);
        assert!(Tally::of(&all[..1], &counted).notes.is_empty());
    }
}
