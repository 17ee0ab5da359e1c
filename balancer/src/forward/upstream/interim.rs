//! How many interim responses (RFC 9110 §15.2) a worker has sent before its answer. The parser drops them, however many.

/// Follows the beginning of a response until the final one begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interim {
    /// How many bytes of a status line have come, up to where its status begins; `None` within a header section.
    line: Option<u8>,
    /// How much of the empty line has come.
    newlines: u8,
    count: u8,
    over: bool,
    /// Whether the worker's kernel has taken any of the request.
    pub(super) taken: bool,
}

impl Interim {
    /// Before the first byte.
    pub(super) fn begin() -> Self {
        Self { line: Some(0), newlines: 0, count: 0, over: false, taken: false }
    }

    /// Whether the final response has begun.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes what has come; whether that is not too much.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> bool {
        // What nearly every response begins with, and needs no more than this.
        if self.line == Some(0) && bytes.get(usize::from(STATUS)).is_some_and(|&digit| digit != b'1') {
            return self.ends();
        }
        for &byte in bytes {
            match self.line {
                // Empty lines before a status line are none of it.
                Some(0) if matches!(byte, b'\r' | b'\n') => {}
                // 1xx, but 101 is final and no HTTP follows it.
                Some(STATUS) if byte == b'1' => self.line = Some(SECOND),
                Some(SECOND) if byte == b'0' => self.line = Some(THIRD),
                Some(THIRD) if byte == b'1' => return self.ends(),
                Some(SECOND | THIRD) => {
                    if !self.one_more() {
                        return false;
                    }
                }
                Some(STATUS) => return self.ends(),
                Some(length) => self.line = Some(length + 1),
                None => match byte {
                    b'\n' if self.newlines == 1 => self.line = Some(0),
                    b'\n' => self.newlines = 1,
                    b'\r' => {}
                    _ => self.newlines = 0,
                },
            }
        }
        true
    }

    fn ends(&mut self) -> bool {
        self.over = true;
        true
    }

    /// Whether it is not one too many.
    fn one_more(&mut self) -> bool {
        self.count += 1;
        (self.line, self.newlines) = (None, 0);
        self.count <= INTERIM_MAX
    }
}

/// Where the status stands in `HTTP/1.1 200`.
const STATUS: u8 = 9;
const SECOND: u8 = STATUS + 1;
const THIRD: u8 = STATUS + 2;
/// A few dozen; nobody sends more than a few.
const INTERIM_MAX: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether so many are few enough, in pieces of any size; the final one must be seen.
    fn few(interim: &str, count: usize) -> bool {
        let bytes = format!("{}HTTP/1.1 200 OK\r\nX: 1\r\n\r\n", interim.repeat(count));
        let follow = |size: usize| {
            let mut followed = Interim::begin();
            let few = bytes.as_bytes().chunks(size).all(|piece| followed.is_over() || followed.follow(piece));
            assert_eq!(few, followed.is_over());
            few
        };
        let whole = follow(usize::MAX);
        for size in [1, 5, 9, 10, 11, 64] {
            assert_eq!(follow(size), whole, "in pieces of {size}: {interim:?} × {count}");
        }
        whole
    }

    #[test]
    fn a_few_dozen_are_let_pass() {
        for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: 1\r\n\r\n"] {
            assert!(few(interim, 0) && few(interim, 1) && few(interim, 32));
            assert!(!few(interim, 33) && !few(interim, 1_000));
        }
    }

    #[test]
    fn what_follows_a_101_is_not_looked_at() {
        let mut followed = Interim::begin();
        let tunnel = "HTTP/1.1 103\r\n\r\n".repeat(100);
        assert!(followed.follow(format!("HTTP/1.1 101 Switching Protocols\r\n\r\n{tunnel}").as_bytes()));
        assert!(followed.is_over());
    }
}
