//! The requests that somebody may ask about: the recent, the slow and the failed.
//!
//! Decides which are remembered and for how long. Each thread has a ring of its own, which it alone fills; its lock is held by others
//! only while one story is looked for or copied. Never grows beyond its bounds, whatever comes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::StatusCode;

use super::past::Past;

/// The rings of all threads.
#[derive(Debug, Default)]
pub struct Stories(Mutex<Vec<Weak<Ring>>>);

/// What one thread remembers.
#[derive(Debug, Default)]
pub struct Ring(Mutex<Kept>);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The last ones.
    Recent,
    /// The slowest of each of the last minutes.
    Slow,
    /// The last ones that failed, or did not succeed at once.
    Failed,
}

#[derive(Debug)]
struct Kept {
    recent: Last,
    slow: Slowest,
    failed: Last,
}

/// The last ones.
#[derive(Debug)]
struct Last {
    kept: Vec<Past>,
    /// Where the oldest is, once there are as many as there may be.
    oldest: usize,
    most: usize,
}

/// The slowest of each minute, the last minute at the end.
#[derive(Debug, Default)]
struct Slowest {
    minutes: VecDeque<Vec<Past>>,
    /// When another minute begins.
    ends: Option<Instant>,
    /// Who took no longer is none of them.
    least: Duration,
}

impl Stories {
    /// A ring for a thread, forgotten with the thread's last reference.
    pub fn ring(&self) -> Arc<Ring> {
        let ring = Arc::<Ring>::default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&ring));
        ring
    }

    /// Whether requests are remembered.
    pub fn are_kept(&self) -> bool {
        !self.rings().is_empty()
    }

    /// The request of that id.
    pub fn find(&self, id: &[u8]) -> Option<(Which, Past)> {
        self.rings().iter().find_map(|ring| ring.lock().find(id))
    }

    /// So many of those at most, the last first; of the slow ones the slowest first.
    pub fn list(&self, which: Which, most: usize) -> Vec<Past> {
        let mut all: Vec<Past> = self.rings().iter().flat_map(|ring| ring.lock().list(which)).collect();
        match which {
            Which::Slow => all.sort_by_key(|story| std::cmp::Reverse(story.took)),
            Which::Recent | Which::Failed => all.sort_by_key(|story| std::cmp::Reverse(story.begun + story.took)),
        }
        all.truncate(most);
        all
    }

    fn rings(&self) -> Vec<Arc<Ring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Ring {
    /// Remembers a request that is over.
    pub(super) fn keep(&self, story: Past) {
        let mut kept = self.lock();
        if story.has_failed() {
            return kept.failed.push(story);
        }
        // Asked before it is moved: that is half of what this costs.
        if !kept.slow.wants(&story) {
            return kept.recent.push(story);
        }
        if let Some(replaced) = kept.slow.take(story) {
            kept.recent.push(replaced);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&self, id: &[u8]) -> Option<(Which, Past)> {
        let has_id = |story: &&Past| story.id == *id;
        let recent = self.recent.kept.iter().find(has_id).map(|story| (Which::Recent, story));
        let failed = || self.failed.kept.iter().find(has_id).map(|story| (Which::Failed, story));
        let slow = || self.slow.minutes.iter().flatten().find(has_id).map(|story| (Which::Slow, story));
        recent.or_else(failed).or_else(slow).map(|(which, story)| (which, story.clone()))
    }

    fn list(&self, which: Which) -> Vec<Past> {
        match which {
            Which::Recent => self.recent.kept.clone(),
            Which::Failed => self.failed.kept.clone(),
            Which::Slow => self.slow.minutes.iter().flatten().cloned().collect(),
        }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self { recent: Last::new(RECENT), slow: Slowest::default(), failed: Last::new(FAILED) }
    }
}

impl Last {
    fn new(most: usize) -> Self {
        Self { kept: Vec::new(), oldest: 0, most }
    }

    fn push(&mut self, story: Past) {
        if self.kept.len() < self.most {
            return self.kept.push(story);
        }
        if let Some(oldest) = self.kept.get_mut(self.oldest) {
            *oldest = story;
        }
        self.oldest = if self.oldest + 1 == self.most { 0 } else { self.oldest + 1 };
    }
}

impl Slowest {
    /// Whether it is slower than the slowest of this minute, which may begin with it.
    fn wants(&mut self, story: &Past) -> bool {
        // How long a tunnel is open is no time that anybody has waited.
        if story.status == StatusCode::SWITCHING_PROTOCOLS {
            return false;
        }
        let over = story.begun + story.took;
        if self.ends.is_none_or(|ends| over >= ends) {
            self.begin(over);
        }
        story.took > self.least
    }

    fn begin(&mut self, now: Instant) {
        (self.ends, self.least) = (Some(now + MINUTE), Duration::ZERO);
        if self.minutes.len() == MINUTES {
            self.minutes.pop_front();
        }
        self.minutes.push_back(Vec::new());
    }

    /// Keeps it, and gives back one that was less slow, where there are enough. Seldom: few of many are slower than the slowest so far.
    #[cold]
    fn take(&mut self, story: Past) -> Option<Past> {
        let Some(minute) = self.minutes.back_mut() else { return Some(story) };
        if minute.len() < SLOW {
            minute.push(story);
            if minute.len() == SLOW {
                self.least = minute.iter().map(|story| story.took).min().unwrap_or_default();
            }
            return None;
        }
        let fastest = minute.iter_mut().min_by_key(|story| story.took)?;
        let replaced = std::mem::replace(fastest, story);
        self.least = minute.iter().map(|story| story.took).min().unwrap_or_default();
        Some(replaced)
    }
}

/// Requests that ended last, of each thread.
const RECENT: usize = 1_024;
/// Requests that failed last, of each thread: an id in an error is looked up minutes later.
const FAILED: usize = 512;
/// The slowest of a minute, of each thread.
const SLOW: usize = 32;
/// Minutes of which the slowest are known.
const MINUTES: usize = 15;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::MethodLabel;
    use crate::observe::past::{Attempt, Choice, Claim};

    fn story(number: u64, begun: Instant, millis: u64) -> Past {
        let mut id = [b'0'; 32];
        id[16..].copy_from_slice(format!("{number:016x}").as_bytes());
        Past {
            id,
            begun,
            took: Duration::from_millis(millis),
            method: MethodLabel::default(),
            status: StatusCode::OK,
            bytes: 0,
            pool: None,
            queued: Duration::ZERO,
            before: Vec::new(),
            last: None,
            reason: None,
            rejected: false,
            candidates: None,
        }
    }

    fn found(stories: &Stories, number: u64) -> Option<Which> {
        stories.find(&story(number, Instant::now(), 0).id).map(|(which, _)| which)
    }

    #[test]
    fn a_request_is_found_by_its_id_whatever_thread_has_served_it() {
        let stories = Stories::default();
        assert!(!stories.are_kept());
        let (one, other, now) = (stories.ring(), stories.ring(), Instant::now());
        one.keep(story(1, now, 5));
        other.keep(Past { reason: Some("connect_failed"), ..story(2, now, 5) });
        other.keep(Past { status: StatusCode::BAD_GATEWAY, ..story(3, now, 5) });
        let choice = Choice::default();
        let before = vec![Attempt { claim: Claim { endpoint: "a".into(), at: now, choice }, ended: now, why: "x" }];
        one.keep(Past { before, ..story(4, now, 5) });
        assert_eq!(found(&stories, 1), Some(Which::Slow), "the slowest so far");
        for number in 2..5 {
            assert_eq!(found(&stories, number), Some(Which::Failed), "{number}");
        }
        assert!(found(&stories, 5).is_none() && stories.find(b"1").is_none());
        drop(other);
        assert!(found(&stories, 2).is_none() && stories.are_kept(), "what is forgotten is no more");
    }

    #[test]
    fn the_last_are_kept_and_no_more() {
        let stories = Stories::default();
        let (ring, now) = (stories.ring(), Instant::now());
        let failed = |number| Past { reason: Some("closed_early"), ..story(number, now, number) };
        for number in 1..=2_000 {
            ring.keep(failed(number));
        }
        let list = stories.list(Which::Failed, usize::MAX);
        assert_eq!(
            (list.len(), list[0].took, list[511].took),
            (512, Duration::from_secs(2), Duration::from_millis(1_489))
        );
        assert_eq!(stories.list(Which::Failed, 3).len(), 3);
        for number in 0..10_000 {
            // All alike: the first of them count as the slowest.
            ring.keep(story(number, now, 1));
        }
        assert_eq!((stories.list(Which::Recent, 9_999).len(), stories.list(Which::Slow, 9_999).len()), (1_024, 32));
        assert_eq!((found(&stories, 9_999), found(&stories, 5_000)), (Some(Which::Recent), None));
    }

    #[test]
    fn the_slowest_of_each_minute_are_kept_for_a_quarter_of_an_hour() {
        let stories = Stories::default();
        let (ring, begun) = (stories.ring(), Instant::now());
        for minute in 0..20_u64 {
            let now = begun + MINUTE * minute as u32;
            for number in 0..1_000_u64 {
                // In no order of time.
                let millis = number * 7_919 % 1_000;
                ring.keep(story(minute * 10_000 + millis, now, millis));
            }
        }
        let slow = stories.list(Which::Slow, usize::MAX);
        assert_eq!(slow.len(), SLOW * MINUTES);
        assert!(slow.iter().all(|story| story.took >= Duration::from_millis(1_000 - SLOW as u64)), "{slow:?}");
        assert_eq!(
            (found(&stories, 190_999), found(&stories, 50_999), found(&stories, 40_999)),
            (Some(Which::Slow), Some(Which::Slow), None)
        );
    }

    #[test]
    fn a_tunnel_is_not_slow() {
        let stories = Stories::default();
        let ring = stories.ring();
        ring.keep(Past { status: StatusCode::SWITCHING_PROTOCOLS, ..story(1, Instant::now(), 3_600_000) });
        assert_eq!(found(&stories, 1), Some(Which::Recent));
    }
}
