//! Burnt CPU time.
//!
//! Decides when enough was burnt. Called for each request that is to cost CPU time. Never yields: a worker that computes
//! serves nobody else on that thread, and that is the point.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Keeps this thread computing until it has used `time` of CPU, however long it waits for a core meanwhile.
pub(crate) fn burn(time: Duration) {
    if time.is_zero() {
        return;
    }
    let started = Instant::now();
    let used = || match clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
        Ok(now) => Duration::from(now),
        // No such clock: wall time is the nearest thing.
        Err(_) => started.elapsed(),
    };
    let until = used() + time;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    while used() < until {
        // About a microsecond between two looks at the clock, which costs a fifth of one.
        for step in 0..1000_u64 {
            hash = (hash ^ step).wrapping_mul(0x0100_0000_01b3);
        }
        hash = black_box(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burning_uses_the_cpu_time_asked_for() {
        let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let before = used();
        burn(Duration::from_millis(20));
        assert!(used() - before >= Duration::from_millis(20));
    }
}
