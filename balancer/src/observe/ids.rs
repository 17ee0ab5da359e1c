//! Request ids and what else is written anew for every request.

use std::time::{Duration, Instant};

use rand::random;

use super::Clock;

/// Makes ids for one thread, without a system call or an allocation for each.
#[derive(Debug)]
pub struct Ids {
    clock: Clock,
    /// The last one. Its first 16 digits tell this thread from all others, in whatever process; those that count are written anew
    /// for each request, and of the time what has changed.
    last: RequestId,
    /// Counts on from a random number, so that a process tells nobody how many requests it has had.
    counter: u64,
    /// The seconds that `last` says.
    second: u64,
}

/// Values that are new in every request.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    id: [u8; ID],
    start: [u8; START],
}

impl RequestId {
    /// 32 hexadecimal digits.
    pub fn id(&self) -> &[u8; ID] {
        &self.id
    }

    /// The same as text.
    pub fn text(&self) -> &str {
        // Digits.
        std::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// `t=SECONDS.MICROS`, when the request began to arrive.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// W3C Trace Context, version 00, not sampled, with the id as its trace.
    pub fn trace(&self) -> [u8; TRACE] {
        *self.lines()[TRACE_AT..].first_chunk().unwrap_or(&[b'0'; TRACE])
    }

    /// Writes the lines `X-Request-Id`, `X-Request-Start` and, if that is wished, `traceparent`.
    pub fn write(&self, out: &mut Vec<u8>, with_trace: bool) {
        let lines = self.lines();
        out.extend_from_slice(if with_trace { &lines } else { &lines[..TRACE_LINE_AT] });
    }

    fn lines(&self) -> [u8; LINES] {
        let mut lines = *TEMPLATE;
        let span = &self.id[ID / 2..];
        lines[ID_AT..ID_AT + ID].copy_from_slice(&self.id);
        lines[START_AT..START_AT + START].copy_from_slice(&self.start);
        lines[TRACE_AT + 3..TRACE_AT + 3 + ID].copy_from_slice(&self.id);
        lines[TRACE_AT + 36..TRACE_AT + 36 + span.len()].copy_from_slice(span);
        lines
    }
}

impl Ids {
    /// Ids that differ between threads and processes.
    pub fn new() -> Self {
        let mut last = RequestId { id: [b'0'; ID], start: *b"t=0000000000.000000" };
        // Of all zeros it would be invalid.
        last.id[..ID / 2].copy_from_slice(&hex(random::<u64>() | 1));
        Self { clock: Clock::new(), last, counter: random(), second: 0 }
    }

    /// The values of a request that began to arrive at `begun`.
    pub fn next(&mut self, begun: Instant) -> RequestId {
        let wall = self.clock.wall_of_now(begun);
        self.counter = self.counter.wrapping_add(1).max(1);
        self.last.id[ID / 2..].copy_from_slice(&hex(self.counter));
        self.set_start(wall);
        self.last
    }

    fn set_start(&mut self, wall: Duration) {
        let start = &mut self.last.start;
        if wall.as_secs() != self.second {
            self.second = wall.as_secs();
            // Ten digits until the year 2286.
            digits(&mut start[2..12], self.second);
        }
        digits(&mut start[13..], wall.subsec_micros().into());
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a number with leading zeros.
fn digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
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
/// Bytes of an id.
const ID: usize = 32;
/// Bytes of a trace.
const TRACE: usize = 55;
/// Bytes of a time.
const START: usize = 19;
const TEMPLATE: &[u8; LINES] = b"X-Request-Id: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\r\n\
    X-Request-Start: t=0000000000.000000\r\n\
    traceparent: 00-nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn-nnnnnnnnnnnnnnnn-00\r\n";
/// Where in the template each value stands.
const ID_AT: usize = 14;
const START_AT: usize = ID_AT + ID + 2 + 17;
const TRACE_LINE_AT: usize = START_AT + START + 2;
const TRACE_AT: usize = TRACE_LINE_AT + 13;
const LINES: usize = TRACE_AT + TRACE + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_well_formed_and_never_the_same() {
        let (mut ids, mut others) = (Ids::new(), Ids::new());
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let first = ids.next(Instant::now());
            assert!(seen.insert(first.text().to_owned()) && seen.insert(others.next(Instant::now()).text().to_owned()));
            assert_eq!(first.text().len(), 32);
            assert!(text(&first.trace()).starts_with(&format!("00-{}-", first.text())));
            assert_eq!(first.trace().len(), 55);
            let lines = |with_trace| {
                let mut lines = Vec::new();
                first.write(&mut lines, with_trace);
                text(&lines)
            };
            let expected = format!(
                "X-Request-Id: {}\r\nX-Request-Start: {}\r\ntraceparent: {}\r\n",
                first.text(),
                text(first.start()),
                text(&first.trace())
            );
            assert_eq!((lines(true), lines(true).starts_with(&lines(false))), (expected, true));
        }
        let seconds: f64 = text(ids.next(Instant::now()).start()).strip_prefix("t=").unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - seconds).abs() < 5.0);
    }

    #[test]
    fn micros_keep_their_leading_zeros() {
        let mut ids = Ids::new();
        let mut start = |micros| {
            ids.set_start(Duration::from_micros(micros));
            String::from_utf8(ids.last.start().to_vec()).unwrap()
        };
        assert_eq!(start(1_700_000_000_000_042), "t=1700000000.000042");
        assert_eq!(start(1_700_000_000_999_999), "t=1700000000.999999");
        assert_eq!(start(1_700_000_001_000_000), "t=1700000001.000000");
    }
}
