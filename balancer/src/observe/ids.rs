//! Request ids and what else is written anew for every request.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use rand::random;

use super::Clock;

/// Makes ids for one thread, without a system call or an allocation for each.
#[derive(Debug)]
pub struct Ids {
    clock: Clock,
    /// The last trace: 16 of its digits tell this thread from all others, in whatever process; those that count are
    /// written anew for each request.
    trace: [u8; TRACE],
    /// Counts on from a random number, so that a process tells nobody how many requests it has had.
    counter: u64,
    buffer: BytesMut,
}

/// Values that are new in every request.
#[derive(Debug, Clone)]
pub struct RequestId {
    /// 32 hexadecimal digits.
    pub id: HeaderValue,
    /// `t=SECONDS.MICROS`, when the request began to arrive.
    pub start: HeaderValue,
    /// W3C Trace Context, version 00, not sampled, with the id as its trace.
    pub trace: HeaderValue,
}

impl Ids {
    /// Ids that differ between threads and processes.
    pub fn new() -> Self {
        let mut trace = *b"00-0000000000000000nnnnnnnnnnnnnnnn-nnnnnnnnnnnnnnnn-00";
        // Of all zeros it would be invalid.
        trace[3..19].copy_from_slice(&hex(random::<u64>() | 1));
        Self { clock: Clock::new(), trace, counter: random(), buffer: BytesMut::with_capacity(BUFFER) }
    }

    /// The values of a request that began to arrive at `begun`.
    pub fn next(&mut self, begun: Instant) -> RequestId {
        self.clock.set(begun);
        let wall = self.clock.wall(begun);
        self.counter = self.counter.wrapping_add(1).max(1);
        let number = hex(self.counter);
        if self.buffer.capacity() < LENGTH {
            self.buffer = BytesMut::with_capacity(BUFFER);
        }
        self.trace[19..35].copy_from_slice(&number);
        self.trace[36..52].copy_from_slice(&number);
        self.buffer.extend_from_slice(&self.trace[3..35]);
        let id = self.buffer.split().freeze();
        self.buffer.extend_from_slice(&self.trace);
        let trace = self.buffer.split().freeze();
        let start = self.start(wall);
        RequestId { id: value(id), start: value(start), trace: value(trace) }
    }

    fn start(&mut self, wall: Duration) -> Bytes {
        self.buffer.extend_from_slice(b"t=");
        self.buffer.extend_from_slice(itoa::Buffer::new().format(wall.as_secs()).as_bytes());
        let mut micros = *b".000000";
        let mut rest = wall.subsec_micros();
        for digit in micros[1..].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        self.buffer.extend_from_slice(&micros);
        self.buffer.split().freeze()
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

fn value(bytes: Bytes) -> HeaderValue {
    // Digits and ASCII letters are always a value.
    HeaderValue::from_maybe_shared(bytes).unwrap_or(HeaderValue::from_static("-"))
}

fn hex(mut number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for pair in digits.chunks_exact_mut(2).rev() {
        pair[0] = DIGITS[(number >> 4) as usize & 0xF];
        pair[1] = DIGITS[number as usize & 0xF];
        number >>= 8;
    }
    digits
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Bytes of a trace.
const TRACE: usize = 55;
/// Of the three values together, at most.
const LENGTH: usize = 32 + TRACE + 32;
/// The values of some seventy requests.
const BUFFER: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_well_formed_and_never_the_same() {
        let (mut ids, mut others) = (Ids::new(), Ids::new());
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let first = ids.next(Instant::now());
            assert!(seen.insert(text(&first.id)) && seen.insert(text(&others.next(Instant::now()).id)));
            assert_eq!(text(&first.id).len(), 32);
            assert!(text(&first.trace).starts_with(&format!("00-{}-", text(&first.id))));
            assert_eq!(text(&first.trace).len(), 55);
        }
        let seconds: f64 = text(&ids.next(Instant::now()).start).strip_prefix("t=").unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - seconds).abs() < 5.0);
    }

    #[test]
    fn micros_keep_their_leading_zeros() {
        let mut ids = Ids::new();
        assert_eq!(ids.start(Duration::from_micros(1_700_000_000_000_042)), "t=1700000000.000042");
        assert_eq!(ids.start(Duration::from_micros(1_700_000_000_999_999)), "t=1700000000.999999");
    }
}
