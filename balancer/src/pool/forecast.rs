//! How long a request will take, from how long others of its kind took. Pure.
//!
//! A kind is a method and the beginning of a path. What is learned is the mean of the logarithm, which a few exceptions do
//! not move: a route that is slow once in twenty times is not a slow route.

use std::time::{Duration, Instant};

use http::Method;
use xxhash_rust::xxh3::Xxh3Default;

/// What has been learned of a pool's requests. Its size is fixed: a kind that is not asked for gives way to another.
#[derive(Debug)]
pub(super) struct Forecast {
    sets: Box<[[Entry; WAYS]]>,
    /// Of all requests.
    typical: Mean,
    /// Of all requests, in seconds and not of the logarithm: what a queue costs.
    seconds: Mean,
    began: Instant,
}

/// Method and beginning of a path, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Kind(u64);

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    kind: Kind,
    mean: Mean,
    /// Seconds since the table began.
    used: u32,
}

/// A mean in which what is old counts less and less.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    value: f32,
    count: u16,
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

impl Forecast {
    /// Nothing learned yet.
    pub(super) fn new(now: Instant) -> Self {
        let sets = vec![[Entry::default(); WAYS]; SETS].into_boxed_slice();
        Self { sets, typical: Mean::default(), seconds: Mean::default(), began: now }
    }

    /// How long such a request is expected to take, if that is much longer than the rest takes; `None` of what little is
    /// known.
    pub(super) fn slow(&self, kind: Kind, now: Instant) -> Option<Duration> {
        let entry = self.set(kind).iter().find(|entry| entry.kind == kind)?;
        let known = entry.mean.count >= KNOWN && self.age(now).saturating_sub(entry.used) <= FORGOTTEN;
        let much_slower = entry.mean.value >= self.typical.value + MUCH_SLOWER.ln();
        let expected = entry.mean.value.exp();
        (known && much_slower && expected >= SLOW_MIN).then(|| Duration::from_secs_f32(expected.min(DAY)))
    }

    /// Such a request has held its place for `service`; with `whole` false it was given up, so that it is known only to take
    /// longer.
    pub(super) fn learn(&mut self, kind: Kind, service: Duration, whole: bool, now: Instant) {
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
    }

    /// Mean time that a request holds its place; `None` before the first.
    pub(super) fn mean(&self) -> Option<Duration> {
        (self.seconds.count > 0).then(|| Duration::from_secs_f32(self.seconds.value.clamp(0.0, DAY)))
    }

    fn set(&self, kind: Kind) -> &[Entry; WAYS] {
        &self.sets[kind.0 as usize % SETS]
    }

    fn age(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u32::MAX)
    }
}

impl Mean {
    /// The newest counts one in `of`, or all the same while there are fewer.
    fn add(&mut self, value: f32, of: u16) {
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
const SETS: usize = 256;
const WAYS: usize = 4;
/// Requests of a kind before anything is said of it: one may be an exception.
const KNOWN: u16 = 2;
/// How many requests a mean goes back, roughly.
const KIND_OF: u16 = 16;
const TYPICAL_OF: u16 = 256;
const SECONDS_OF: u16 = 64;
/// Seconds after which an old time says nothing.
const FORGOTTEN: u32 = 600;
/// Times the typical service time.
const MUCH_SLOWER: f32 = 8.0;
/// Seconds: what is shorter keeps nobody waiting for long enough to matter.
const SLOW_MIN: f32 = 0.025;
/// Seconds.
const DAY: f32 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &str) -> Kind {
        Kind::of(&Method::GET, path)
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
        assert_eq!(forecast.slow(kind("/report"), now), None);
        forecast.learn(kind("/report"), Duration::from_secs(1), true, now);
        let expected = forecast.slow(kind("/report"), now).unwrap().as_secs_f64();
        assert!((0.99..1.01).contains(&expected), "{expected}");
        assert_eq!(forecast.slow(kind("/a"), now), None);
        assert_eq!(forecast.slow(kind("/never-seen"), now), None);
    }

    #[test]
    fn what_all_requests_are_like_is_not_slow() {
        let now = Instant::now();
        let forecast = learned(&[("/report", 1_000), ("/report", 1_000), ("/report", 1_000), ("/a", 5)], 100, now);
        assert_eq!(forecast.slow(kind("/report"), now), None);
        let forecast = learned(&[("/a", 1), ("/a", 1), ("/a", 1), ("/b", 20)], 100, now);
        assert_eq!(forecast.slow(kind("/b"), now), None, "20 ms keep nobody waiting");
    }

    #[test]
    fn it_follows_what_changes_and_forgets_what_is_old() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/a", 5), ("/a", 5), ("/r", 1_000)], 30, now);
        assert!(forecast.slow(kind("/r"), now).is_some());
        assert_eq!(forecast.slow(kind("/r"), now + Duration::from_secs(700)), None);
        for _ in 0..40 {
            forecast.learn(kind("/r"), Duration::from_millis(5), true, now);
        }
        assert_eq!(forecast.slow(kind("/r"), now), None);
    }

    #[test]
    fn what_was_given_up_only_says_that_it_takes_longer() {
        let now = Instant::now();
        let mut forecast = learned(&[("/a", 5), ("/a", 5), ("/r", 1_000)], 30, now);
        let before = forecast.slow(kind("/r"), now);
        forecast.learn(kind("/r"), Duration::from_millis(1), false, now);
        assert_eq!(forecast.slow(kind("/r"), now), before);
        forecast.learn(kind("/r"), Duration::from_secs(50), false, now);
        assert!(forecast.slow(kind("/r"), now) > before);
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
        assert!(forecast.slow(kind("/r"), now + Duration::from_secs(200)).is_some());
        assert_eq!(forecast.sets.len() * WAYS, 1_024);
    }
}
