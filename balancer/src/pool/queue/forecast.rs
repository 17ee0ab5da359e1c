//! How long a request will take, from how long others of its kind take. Pure.
//!
//! A kind is a method and the beginning of a path. What is learned is the mean of the logarithm, which a few exceptions do
//! not move: a route that is slow once in twenty times is not a slow route. Of those that are under way it is known that
//! they take longer than they have already: so a kind that is new and slow is known before the first has ended.

use std::time::{Duration, Instant};

use http::Method;
use xxhash_rust::xxh3::Xxh3Default;

use super::held_up::HeldUp;
use super::lane::{Lane, slow_max};

/// What has been learned of a pool's requests. Its size is fixed but for one entry a place: a kind that is not asked for gives
/// way to another.
#[derive(Debug)]
pub(in crate::pool) struct Forecast {
    pub(super) sets: Box<[[Entry; WAYS]]>,
    /// Of all requests.
    pub(super) typical: Mean,
    /// Of all requests, in seconds and not of the logarithm: what a queue costs.
    pub(super) seconds: Mean,
    began: Instant,
    /// What takes that long is slow; `None` before anything is known.
    slow_from: Option<Duration>,
    /// Requests that have a place, oldest first.
    running: Vec<Running>,
    /// Those of them that were slow when they got it.
    slow_running: usize,
}

/// Method and beginning of a path, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Kind(pub(in crate::pool) u64);

/// A request that has a place.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) struct Running {
    pub(in crate::pool) kind: Kind,
    pub(in crate::pool) lane: Lane,
    /// Since when it has it.
    pub(in crate::pool) begun: Instant,
    /// Of that time, how much its client had it.
    pub(in crate::pool) held_up: HeldUp,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub(in crate::pool) kind: Kind,
    pub(super) mean: Mean,
    /// Seconds since the table began, and [`FORGOTTEN`].
    pub(in crate::pool) used: u32,
}

/// A mean in which what is old counts less and less.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    pub(in crate::pool) value: f32,
    pub(in crate::pool) count: u16,
}

impl Kind {
    /// The first segments of the path; one that looks like a number or a name of its own stands for all such. The query does
    /// not count.
    pub fn of(method: &Method, path: &str) -> Self {
        let mut hasher = Xxh3Default::new();
        hasher.update(method.as_str().as_bytes());
        for segment in path.split('/').filter(|segment| !segment.is_empty()).take(SEGMENTS) {
            hasher.update(b"/");
            hasher.update(if is_identifier(segment) { b"*" } else { segment.as_bytes() });
        }
        // 0 is an empty entry.
        Self(hasher.digest().max(1))
    }
}

impl Running {
    /// It gets its place now.
    pub(in crate::pool) fn new(kind: Kind, lane: Lane, now: Instant) -> Self {
        Self { kind, lane, begun: now, held_up: HeldUp::default() }
    }

    /// How long it takes already.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun).saturating_sub(self.held_up.total(now))
    }
}

impl Forecast {
    /// Nothing learned yet.
    pub(in crate::pool) fn new(now: Instant) -> Self {
        let sets = vec![[Entry::default(); WAYS]; SETS].into_boxed_slice();
        let (typical, seconds) = Default::default();
        Self { sets, typical, seconds, began: now, slow_from: None, running: Vec::new(), slow_running: 0 }
    }

    /// How long such a request is expected to take at least, if that is much longer than the rest takes; `None` of what little is
    /// known. Of a kind that is new and has all `places` but the last already, nothing good is expected.
    pub(in crate::pool) fn slow(&self, kind: Kind, places: impl FnOnce() -> usize, now: Instant) -> Option<Duration> {
        let slow_from = self.slow_from?;
        let entry = self.set(kind).iter().find(|entry| entry.kind == kind);
        let fresh = entry.filter(|entry| self.age(now).saturating_sub(entry.used) <= FORGOTTEN);
        let finished = fresh.map_or(Mean::default(), |entry| entry.mean);
        let mut mean = finished;
        if finished.count < KNOWN {
            // As if they ended now.
            for running in self.running_for(slow_from, now).filter(|running| running.kind == kind) {
                mean.add(running.age(now).as_secs_f32().ln(), KIND_OF);
            }
        }
        if mean.count >= KNOWN || mean.count > finished.count {
            let expected = Duration::from_secs_f32(mean.value.exp().min(DAY));
            return (expected >= slow_from).then_some(expected);
        }
        let crowds = |running: &&Running| running.kind == kind && running.held_up.since.is_none();
        let running = self.running.iter().filter(crowds).count();
        (running >= SEVERAL && running >= slow_max(places())).then_some(slow_from)
    }

    /// Such a request gets a place.
    pub(super) fn begin(&mut self, running: Running) {
        let at = self.running.partition_point(|other| other.begun <= running.begun);
        self.running.insert(at, running);
        self.slow_running += usize::from(running.lane != Lane::Fast);
    }

    /// It has left its place. That says nothing yet of how long it took.
    pub(in crate::pool) fn end(&mut self, running: Running) {
        if let Some(at) = self.position(running) {
            self.running.remove(at);
            self.slow_running -= usize::from(running.lane != Lane::Fast);
        }
    }

    /// Its client has held it up for so long, and does so or not.
    pub(in crate::pool) fn hold_up(&mut self, running: Running, held_up: HeldUp) {
        if let Some(at) = self.position(running) {
            self.running[at].held_up = held_up;
        }
    }

    /// Of one like this: others may have begun in the same moment.
    fn position(&self, running: Running) -> Option<usize> {
        let from = self.running.partition_point(|other| other.begun < running.begun);
        let is_it =
            |other: &Running| (other.kind, other.lane, other.begun) == (running.kind, running.lane, running.begun);
        self.running[from..].iter().position(is_it).map(|at| from + at)
    }

    /// Places that slow requests have, where `kind` is slow: those among them that were not known to be slow when they got theirs.
    pub(super) fn slow_running(&self, kind: Kind, now: Instant) -> usize {
        let is_slow = |running: &Running| {
            let for_long = self.slow_from.is_some_and(|slow_from| running.age(now) >= slow_from);
            running.kind == kind || (for_long && self.slow(running.kind, || usize::MAX, now).is_some())
        };
        let unknown = self.running.iter().filter(|running| running.lane == Lane::Fast);
        self.slow_running + unknown.filter(|running| is_slow(running)).count()
    }

    /// Places that requests have whose clients have kept places, where `kind` is what one of them asks for: those among them that got
    /// theirs before that was known.
    pub(super) fn kept_running(&self, kind: Kind) -> usize {
        self.running.iter().filter(|running| running.lane == Lane::Kept || running.kind == kind).count()
    }

    /// Such a request has taken `service`, what its client held it up not counted; with `whole` false it was given up, so that it is known only to take
    /// longer.
    pub(in crate::pool) fn learn(&mut self, kind: Kind, service: Duration, whole: bool, now: Instant) {
        let seconds = service.as_secs_f32().clamp(1e-6, DAY);
        let (value, age) = (seconds.ln(), self.age(now));
        let set = &mut self.sets[kind.0 as usize % SETS];
        let found = set.iter().position(|entry| entry.kind == kind);
        let known = found.map_or(self.typical.value, |at| set[at].mean.value.max(self.typical.value));
        if !whole && value <= known {
            return;
        }
        self.typical.add(value, TYPICAL_OF);
        self.seconds.add(seconds, SECONDS_OF);
        let oldest = || (0..WAYS).min_by_key(|&at| (set[at].kind != Kind::default(), set[at].used)).unwrap_or_default();
        let entry = &mut set[found.unwrap_or_else(oldest)];
        if entry.kind != kind || age.saturating_sub(entry.used) > FORGOTTEN {
            *entry = Entry { kind, ..Entry::default() };
        }
        entry.mean.add(value, KIND_OF);
        entry.used = age;
        self.typical_changed();
    }

    /// Mean time that a request holds its place; `None` before the first.
    pub(super) fn mean(&self) -> Option<Duration> {
        (self.seconds.count > 0).then(|| Duration::from_secs_f32(self.seconds.value.clamp(0.0, DAY)))
    }

    pub(super) fn typical_changed(&mut self) {
        let seconds = (self.typical.value.exp() * MUCH_SLOWER).clamp(SLOW_MIN, DAY);
        self.slow_from = (self.typical.count > 0).then(|| Duration::from_secs_f32(seconds));
    }

    /// Seconds since the table began, and [`FORGOTTEN`]: what was learned before may be as old.
    pub(super) fn age(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.began).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX).saturating_add(FORGOTTEN)
    }

    /// Those that have had their place for that long.
    fn running_for(&self, time: Duration, now: Instant) -> impl Iterator<Item = &Running> {
        let oldest =
            self.running.iter().take_while(move |running| now.saturating_duration_since(running.begun) >= time);
        oldest.filter(move |running| running.age(now) >= time)
    }

    fn set(&self, kind: Kind) -> &[Entry; WAYS] {
        &self.sets[kind.0 as usize % SETS]
    }
}

impl Mean {
    /// The newest counts one in `of`, or all the same while there are fewer.
    pub(in crate::pool) fn add(&mut self, value: f32, of: u16) {
        self.count = (self.count + 1).min(of);
        self.value += (value - self.value) / f32::from(self.count);
    }
}

/// A number, or long with a digit in it: an id, a hash, a file's fingerprint.
fn is_identifier(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    digits == segment.len() || (digits > 0 && segment.len() > 8) || segment.len() > 32
}

/// `/api/users/17/posts/3` is of the same kind as `/api/users/18/posts`.
const SEGMENTS: usize = 4;
/// 1,024 kinds in 24 KiB, found by looking at four.
pub(super) const SETS: usize = 256;
pub(super) const WAYS: usize = 4;
/// Requests of a kind that have ended before anything is said of it: one may be an exception.
const KNOWN: u16 = 2;
/// Places that one kind must have before it counts as crowding others out.
const SEVERAL: usize = 2;
/// How many requests a mean goes back, roughly.
pub(super) const KIND_OF: u16 = 16;
pub(super) const TYPICAL_OF: u16 = 256;
pub(super) const SECONDS_OF: u16 = 64;
/// Seconds after which an old time says nothing.
pub(super) const FORGOTTEN: u32 = 600;
/// Times the typical service time.
const MUCH_SLOWER: f32 = 8.0;
/// Seconds: what is shorter keeps nobody waiting for long enough to matter.
const SLOW_MIN: f32 = 0.025;
/// Seconds.
pub(super) const DAY: f32 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &str) -> Kind {
        Kind::of(&Method::GET, path)
    }

    /// Of one kind, among four places.
    fn slow(forecast: &Forecast, kind: Kind, now: Instant) -> Option<Duration> {
        forecast.slow(kind, || 4, now)
    }

    fn running(path: &str, begun: Instant) -> Running {
        Running::new(kind(path), Lane::Fast, begun)
    }

    fn learned(pairs: &[(&str, u64)], rounds: usize, now: Instant) -> Forecast {
        let mut forecast = Forecast::new(now);
        for _ in 0..rounds {
            for (path, ms) in pairs {
                forecast.learn(kind(path), Duration::from_millis(*ms), true, now);
            }
        }
        forecast
    }

    #[test]
    fn a_kind_is_a_method_and_a_route() {
        assert_eq!(kind("/users/17/posts/3/edit"), kind("/users/18/posts/4"));
        assert_eq!(kind("//users//17"), kind("/users/18/"));
        assert_eq!(kind("/img/logo-5f3a9c.png"), kind("/img/logo-77aa01.png"));
        assert_ne!(kind("/api/v1/users"), kind("/api/v2/users"));
        assert_ne!(kind("/report"), kind("/users"));
        assert_ne!(kind("/report"), Kind::of(&Method::POST, "/report"));
    }

    #[test]
    fn what_is_much_slower_than_the_rest_is_known_after_two() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/b", 6), ("/c", 4)], 20, now);
        forecast.learn(kind("/report"), Duration::from_secs(1), true, now);
        assert_eq!(slow(&forecast, kind("/report"), now), None);
        forecast.learn(kind("/report"), Duration::from_secs(1), true, now);
        let expected = slow(&forecast, kind("/report"), now).unwrap().as_secs_f64();
        assert!((0.99..1.01).contains(&expected), "{expected}");
        assert_eq!(slow(&forecast, kind("/a"), now), None);
        assert_eq!(slow(&forecast, kind("/never-seen"), now), None);
    }

    #[test]
    fn what_all_requests_are_like_is_not_slow() {
        let now = Instant::now();
        let forecast = learned(&[("/report", 1_000), ("/report", 1_000), ("/report", 1_000), ("/a", 5)], 100, now);
        assert_eq!(slow(&forecast, kind("/report"), now), None);
        let forecast = learned(&[("/a", 1), ("/a", 1), ("/a", 1), ("/b", 20)], 100, now);
        assert_eq!(slow(&forecast, kind("/b"), now), None, "20 ms keep nobody waiting");
    }

    #[test]
    fn it_follows_what_changes_and_forgets_what_is_old() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/a", 5), ("/a", 5), ("/r", 1_000)], 30, now);
        assert!(slow(&forecast, kind("/r"), now).is_some());
        assert_eq!(slow(&forecast, kind("/r"), now + Duration::from_secs(700)), None);
        for _ in 0..40 {
            forecast.learn(kind("/r"), Duration::from_millis(5), true, now);
        }
        assert_eq!(slow(&forecast, kind("/r"), now), None);
    }

    #[test]
    fn what_was_given_up_only_says_that_it_takes_longer() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/a", 5), ("/r", 1_000)], 30, now);
        let before = slow(&forecast, kind("/r"), now);
        forecast.learn(kind("/r"), Duration::from_millis(1), false, now);
        assert_eq!(slow(&forecast, kind("/r"), now), before);
        forecast.learn(kind("/r"), Duration::from_secs(50), false, now);
        assert!(slow(&forecast, kind("/r"), now) > before);
    }

    #[test]
    fn kinds_without_end_take_no_more_room_and_the_one_in_use_stays() {
        let (now, mut forecast) = (Instant::now(), Forecast::new(Instant::now()));
        for index in 0_u64..20_000 {
            let later = now + Duration::from_millis(index * 10);
            forecast.learn(Kind(index + 1), Duration::from_millis(5), true, later);
            if index % 50 == 0 {
                forecast.learn(kind("/r"), Duration::from_secs(1), true, later);
            }
        }
        assert!(slow(&forecast, kind("/r"), now + Duration::from_secs(200)).is_some());
        assert_eq!(forecast.sets.len() * WAYS, 1_024);
    }

    #[test]
    fn a_new_kind_is_slow_once_one_of_it_has_been_under_way_for_long() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/b", 6), ("/c", 4)], 20, now);
        let one = running("/report", now);
        forecast.begin(one);
        let after = |ms| now + Duration::from_millis(ms);
        assert_eq!(slow(&forecast, kind("/report"), after(35)), None);
        let expected = slow(&forecast, kind("/report"), after(300)).unwrap().as_secs_f64();
        assert!((0.299..0.301).contains(&expected), "{expected}");
        assert_eq!(slow(&forecast, kind("/other"), after(300)), None);
        let of_other = |ms| forecast.slow_running(kind("/other"), after(ms));
        assert_eq!((of_other(35), of_other(300), forecast.slow_running(kind("/report"), after(35))), (0, 1, 1));
        forecast.end(one);
        assert_eq!(
            (slow(&forecast, kind("/report"), after(300)), forecast.slow_running(kind("/report"), after(300))),
            (None, 0)
        );
    }

    #[test]
    fn one_that_its_client_holds_up_makes_no_kind_slow() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/b", 6), ("/c", 4)], 20, now);
        let after = |ms| now + Duration::from_millis(ms);
        let (one, mut held_up) = (running("/large", now), HeldUp::default());
        forecast.begin(one);
        held_up.set(Some(after(10)), || now);
        forecast.hold_up(one, held_up);
        assert_eq!(slow(&forecast, kind("/large"), after(60_000)), None);
        assert_eq!(forecast.slow_running(kind("/other"), after(60_000)), 0);
        held_up.set(None, || after(60_000));
        forecast.hold_up(one, held_up);
        let expected = slow(&forecast, kind("/large"), after(60_300)).unwrap().as_secs_f64();
        assert!((0.309..0.311).contains(&expected), "{expected}");
    }

    #[test]
    fn one_exception_under_way_makes_no_kind_slow_that_is_known_to_be_fast() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/b", 6), ("/c", 4)], 20, now);
        (0..3).for_each(|_| forecast.begin(running("/a", now)));
        let later = now + Duration::from_secs(2);
        assert_eq!((slow(&forecast, kind("/a"), later), forecast.slow_running(kind("/report"), later)), (None, 0));
    }

    #[test]
    fn a_new_kind_that_has_all_places_but_the_last_leaves_that_one() {
        let now = Instant::now();
        let mut forecast = Forecast::new(now);
        (0..3).for_each(|_| forecast.begin(running("/new", now)));
        assert_eq!(slow(&forecast, kind("/new"), now), None, "there is nobody else to leave it to");
        forecast.learn(kind("/a"), Duration::from_millis(5), true, now);
        assert!(slow(&forecast, kind("/new"), now).is_some());
        assert_eq!(slow(&forecast, kind("/newer"), now), None);
        assert_eq!(forecast.slow(kind("/new"), || 8, now), None, "there are many more");
        // Two of it have ended as fast as others do.
        (0..2).for_each(|_| forecast.learn(kind("/new"), Duration::from_millis(5), true, now));
        assert_eq!(slow(&forecast, kind("/new"), now), None);
        // With two places there is no last one to leave: half of all would be idle.
        forecast.begin(running("/pair", now));
        assert_eq!(forecast.slow(kind("/pair"), || 2, now), None);
    }

    #[test]
    fn those_that_run_are_known_one_by_one_in_whatever_order_they_begin_and_end() {
        let now = Instant::now();
        let mut forecast = Forecast::new(now);
        let all = [3, 1, 2, 1].map(|ms| running("/a", now + Duration::from_millis(ms)));
        all.into_iter().for_each(|one| forecast.begin(one));
        forecast.begin(Running { lane: Lane::Slow, ..all[2] });
        assert!(forecast.running.is_sorted_by_key(|one| one.begun));
        assert_eq!(forecast.slow_running(kind("/other"), now), 1);
        all.into_iter().for_each(|one| forecast.end(one));
        assert_eq!((forecast.running.len(), forecast.slow_running), (1, 1));
        forecast.end(Running { lane: Lane::Slow, ..all[2] });
        assert_eq!((forecast.running.len(), forecast.slow_running), (0, 0));
    }
}
