//! What is due when: requests, and changes of the file and of numbers.
//!
//! Decides the sequences, so that two runs do the same. Called by [`super::ask`] and the scenarios. Never waits: pure.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) post: bool,
    /// Of the body.
    pub(super) length: usize,
    /// The client closes its connection afterwards.
    pub(super) close: bool,
    /// Which of [`HOSTS`].
    pub(super) host: usize,
}

impl Asked {
    /// GET and POST in turn; one POST in 64 is larger than a socket's first packet, one request in 16 is the last of its connection.
    pub(super) fn of(number: u64) -> Asked {
        let post = number % 2 == 1;
        let length = match (post, number % 128 == 1) {
            (false, _) => 0,
            (true, false) => 20,
            (true, true) => 16 * 1024,
        };
        Asked { post, length, close: number % 16 >= 14 && number % 32 < 16, host: (number / 2 % 2) as usize }
    }
}

/// One state of the file in the scenario `reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) policy: &'static str,
    /// Workers of the pool `app`.
    pub(super) count: u32,
    /// Of its two fixed endpoints; 0: it is not there.
    pub(super) weights: [u32; 2],
    /// Whether the pool `side` is there and gets the second host.
    pub(super) side: bool,
}

impl Version {
    /// The version after so many reloads; the first is that of the start.
    pub(super) fn of(nth: usize) -> Version {
        let policies = ["round_robin", "least_connections", "two_choices", "random"];
        let weights = [[1, 1], [3, 1], [1, 4], [0, 1], [2, 0], [0, 0]];
        let counts = [2, 3, 1, 4, 2];
        Version {
            policy: policies[nth % policies.len()],
            count: counts[nth % counts.len()],
            weights: weights[nth % weights.len()],
            side: !nth.is_multiple_of(3),
        }
    }
}

/// The number of workers after so many scalings: 4 → 1 → 8 → 2 → 4 ….
pub(super) fn count_after(scalings: usize) -> u32 {
    [4, 1, 8, 2][scalings % 4]
}

pub(super) const HOSTS: [&str; 2] = ["first.test", "second.test"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_posts_for_each_host_some_are_large_and_some_close() {
        let all: Vec<Asked> = (0..1280).map(Asked::of).collect();
        let count = |wanted: fn(&Asked) -> bool| all.iter().filter(|asked| wanted(asked)).count();
        assert_eq!(count(|asked| asked.post), 640);
        assert_eq!(count(|asked| asked.length > 20), 10);
        assert_eq!([count(|asked| asked.close && asked.post), count(|asked| asked.close && !asked.post)], [40, 40]);
        assert_eq!([0, 1].map(|host| all.iter().filter(|asked| asked.post && asked.host == host).count()), [320, 320]);
    }

    #[test]
    fn a_version_differs_from_the_one_before_and_always_has_somebody_who_serves() {
        for nth in 0..120 {
            let [before, after] = [nth, nth + 1].map(Version::of);
            assert_ne!(before, after);
            assert_ne!((before.count, before.weights), (after.count, after.weights));
            assert!(after.count > 0);
        }
    }

    #[test]
    fn the_number_of_workers_goes_round() {
        assert_eq!((0..6).map(count_after).collect::<Vec<_>>(), [4, 1, 8, 2, 4, 1]);
    }
}
