//! Request ids and what else is written anew for every request.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Clock;

/// Makes ids for one thread, without a system call or an allocation for each.
#[derive(Debug)]
pub struct Ids {
    rng: SmallRng,
    clock: Clock,
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
        Self { rng: SmallRng::from_rng(&mut rand::rng()), clock: Clock::new(), buffer: BytesMut::new() }
    }

    /// The values of a request that began to arrive at `begun`.
    pub fn next(&mut self, begun: Instant) -> RequestId {
        self.clock.set(begun);
        let wall = self.clock.wall(begun);
        self.buffer.reserve(LENGTH);
        let id = self.digits(2);
        self.buffer.put_slice(b"t=");
        let mut number = itoa::Buffer::new();
        self.buffer.put_slice(number.format(wall.as_secs()).as_bytes());
        self.buffer.put_u8(b'.');
        let micros = number.format(wall.subsec_micros());
        self.buffer.put_bytes(b'0', 6 - micros.len());
        self.buffer.put_slice(micros.as_bytes());
        let start = self.buffer.split().freeze();
        self.buffer.put_slice(b"00-");
        self.buffer.put_slice(&id);
        self.buffer.put_u8(b'-');
        self.hex(1);
        self.buffer.put_slice(b"-00");
        let trace = self.buffer.split().freeze();
        RequestId { id: value(id), start: value(start), trace: value(trace) }
    }

    fn digits(&mut self, words: usize) -> Bytes {
        self.hex(words);
        self.buffer.split().freeze()
    }

    fn hex(&mut self, words: usize) {
        for _ in 0..words {
            // Of all zeros the trace would be invalid.
            let mut word = self.rng.next_u64() | 1;
            let mut digits = [0; 16];
            for digit in digits.iter_mut().rev() {
                *digit = HEX[(word & 0xF) as usize];
                word >>= 4;
            }
            self.buffer.put_slice(&digits);
        }
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

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Of the three values together.
const LENGTH: usize = 32 + 24 + 55;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_well_formed_and_never_the_same() {
        let mut ids = Ids::new();
        let (first, second) = (ids.next(Instant::now()), ids.next(Instant::now()));
        assert_ne!(first.id, second.id);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        assert_eq!(text(&first.id).len(), 32);
        assert!(text(&first.trace).starts_with(&format!("00-{}-", text(&first.id))));
        assert_eq!(text(&first.trace).len(), 55);
        let seconds: f64 = text(&first.start).strip_prefix("t=").unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - seconds).abs() < 5.0);
    }
}
