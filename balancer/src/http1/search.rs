//! Where a head ends, found while it arrives: no byte is looked at twice, and what can never become a head is refused at once.

use memchr::memchr2;

use super::fault::RequestFault;

/// How far the end of one head has been looked for.
#[derive(Debug, Default, Clone, Copy)]
pub struct Search {
    /// Bytes looked at.
    at: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
    /// Whether the first line, which is not empty, has ended.
    started: bool,
}

/// What a head may take, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its first line with its CR; fewer than this.
    pub line: usize,
    /// All of it, with the empty line; at most this.
    pub head: usize,
}

impl Search {
    /// Whether no byte has been looked at.
    pub(super) fn is_new(&self) -> bool {
        self.at == 0
    }

    /// Goes on looking in `bytes`, all that has come of a request; where its head ends, if that is there.
    ///
    /// # Errors
    /// What no further byte can mend: a line that does not end in CRLF (RFC 9112 §2.2 lets a reader take a lone LF; who does so sees
    /// two fields where another sees one value), a first line that is no request line, and what is over a bound.
    pub fn request(&mut self, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, RequestFault> {
        let begins = |line: &[u8]| match line.first() {
            Some(&first) if !is_token(first) && first != b'\r' => Err(RequestFault::Malformed),
            _ if line.len() >= bounds.line => Err(RequestFault::TargetTooLong),
            _ => Ok(()),
        };
        let first_line = |line: &[u8]| if is_request_line(line) { Ok(()) } else { Err(why_not(line)) };
        // What is behind the bound is not looked at, so that the fault is the same however much has come.
        match self.advance(&bytes[..bytes.len().min(bounds.head)], true, begins, first_line)? {
            None if bytes.len() > bounds.head => Err(RequestFault::HeaderTooLarge),
            found => Ok(found),
        }
    }

    /// The same of a response. A lone LF ends a line here: what goes on is written anew, and small workers write it.
    ///
    /// # Errors
    /// `Malformed` for what is no response of HTTP/1, or has more than `head_max` bytes.
    pub fn response(&mut self, bytes: &[u8], head_max: usize) -> Result<Option<usize>, super::ResponseFault> {
        let begins = |line: &[u8]| {
            let may_begin = line.starts_with(STATUS_LINE) || STATUS_LINE.starts_with(line);
            if may_begin || matches!(line, b"\r" | b"\n") { Ok(()) } else { Err(RequestFault::Malformed) }
        };
        match self.advance(&bytes[..bytes.len().min(head_max)], false, begins, |_| Ok(())) {
            Ok(None) if bytes.len() > head_max => Err(super::ResponseFault::Malformed),
            Ok(found) => Ok(found),
            Err(_) => Err(super::ResponseFault::Malformed),
        }
    }

    /// `begins` checks the first line as far as it has come, which may include its CR or LF; `first_line` checks it once it is complete,
    /// without them.
    fn advance(
        &mut self,
        bytes: &[u8],
        strict: bool,
        begins: impl Fn(&[u8]) -> Result<(), RequestFault>,
        first_line: impl Fn(&[u8]) -> Result<(), RequestFault>,
    ) -> Result<Option<usize>, RequestFault> {
        while let Some(found) = memchr2(b'\r', b'\n', &bytes[self.at..]) {
            let mut end = self.at + found;
            if !self.started {
                begins(&bytes[self.line..=end])?;
            }
            let line = &bytes[self.line..end];
            if bytes[end] == b'\r' {
                end += 1;
                match bytes.get(end) {
                    Some(b'\n') => {}
                    Some(_) => return Err(RequestFault::Malformed),
                    None => {
                        self.at = end - 1;
                        return Ok(None);
                    }
                }
            } else if strict {
                return Err(RequestFault::Malformed);
            }
            (self.at, self.line) = (end + 1, end + 1);
            match (line.is_empty(), self.started) {
                (true, true) => return Ok(Some(end + 1)),
                // RFC 9112 §2.2: empty lines before the first one are none of it.
                (true, false) => {}
                (false, false) => {
                    first_line(line)?;
                    self.started = true;
                }
                (false, true) => {}
            }
        }
        self.at = bytes.len();
        if !self.started {
            begins(&bytes[self.line..])?;
        }
        Ok(None)
    }
}

/// Whether a line may be a request line: what stands before the version is judged with the whole head.
fn is_request_line(line: &[u8]) -> bool {
    line.len() > VERSION && matches!(&line[line.len() - VERSION..], b" HTTP/1.1" | b" HTTP/1.0")
}

/// Why it is none: a version of HTTP that is not ours is one only where all else is a request line (RFC 9112 §2.3).
fn why_not(line: &[u8]) -> RequestFault {
    let mut parts = line.split(|&byte| byte == b' ');
    let version = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([_, ..]), Some([_, ..]), Some(version), None) => version,
        _ => return RequestFault::Malformed,
    };
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            RequestFault::BadVersion
        }
        _ => RequestFault::Malformed,
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Bytes of ` HTTP/1.1`.
const VERSION: usize = 9;
const STATUS_LINE: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::ResponseFault;

    const BOUNDS: Bounds = Bounds { line: 100, head: 200 };

    /// Of all bytes at once, and of one more byte each time.
    fn found(bytes: &str) -> Result<Option<usize>, RequestFault> {
        let whole = Search::default().request(bytes.as_bytes(), BOUNDS);
        let mut search = Search::default();
        let mut stepwise = Ok(None);
        for end in 1..=bytes.len() {
            stepwise = search.request(&bytes.as_bytes()[..end], BOUNDS);
            if stepwise != Ok(None) {
                break;
            }
        }
        assert_eq!(stepwise, whole, "{bytes:?}");
        whole
    }

    #[test]
    fn no_byte_is_looked_at_twice_but_a_cr_whose_lf_has_not_come() {
        let empty_lines = "\r\n".repeat(2_000);
        for (bytes, request) in [
            (format!("{empty_lines}GET / HTTP/1.1\r\nA: {}\r\n", "b".repeat(2_000)), true),
            (format!("{empty_lines}HTTP/1.1 200 OK\r\nA: {}\r\n", "b".repeat(2_000)), false),
        ] {
            let mut search = Search::default();
            for end in 1..=bytes.len() {
                let bytes = &bytes.as_bytes()[..end];
                let found = match request {
                    true => search.request(bytes, Bounds { line: 10_000, head: 10_000 }).unwrap(),
                    false => search.response(bytes, 10_000).unwrap(),
                };
                assert_eq!((found, search.at), (None, end - usize::from(bytes.ends_with(b"\r"))));
            }
        }
    }

    #[test]
    fn a_fault_behind_a_bound_does_not_count() {
        let long = "a".repeat(100);
        assert_eq!(found(&format!("{long}\rX")), Err(RequestFault::TargetTooLong));
        assert_eq!(found(&format!("GET /{long} HTTP/2.0\n")), Err(RequestFault::TargetTooLong));
        assert_eq!(found(&format!("/{long}")), Err(RequestFault::Malformed));
        assert_eq!(found("/ HTTP/1.1\r\nA"), Err(RequestFault::Malformed));
        assert_eq!(found(&format!("GET / HTTP/1.1\r\nA: {long}{long}\n")), Err(RequestFault::HeaderTooLarge));
    }

    #[test]
    fn a_head_ends_with_its_empty_line_however_it_arrives() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(found(head), Ok(Some(head.len())));
        assert_eq!(found(&format!("\r\n\r\n{head}")), Ok(Some(head.len() + 4)));
        assert_eq!(found(&head[..head.len() - 1]), Ok(None));
        assert_eq!(Search::default().request(format!("{head}GET").as_bytes(), BOUNDS), Ok(Some(head.len())));
    }

    #[test]
    fn what_can_never_become_a_request_is_refused_before_its_end() {
        for (start, fault) in [
            ("\u{16}\u{3}\u{1}", RequestFault::Malformed),
            ("GET / HTTP/1.1\n", RequestFault::Malformed),
            ("GET / HTTP/1.1\rX", RequestFault::Malformed),
            ("GET / HTTP/1.1\r\r", RequestFault::Malformed),
            ("GET / HTTP/1.1\r\nA: b\n", RequestFault::Malformed),
            ("GET /\r\n", RequestFault::Malformed),
            ("GET / HTTP/2.0\r\n", RequestFault::BadVersion),
            ("PRI * HTTP/2.0\r\n", RequestFault::BadVersion),
            ("GET  / HTTP/2.0\r\n", RequestFault::Malformed),
            ("GET / HTTP/1.10\r\n", RequestFault::Malformed),
            (" GET", RequestFault::Malformed),
            ("\n", RequestFault::Malformed),
        ] {
            assert_eq!(found(start), Err(fault), "{start:?}");
        }
        assert_eq!(found(&"a".repeat(100)), Err(RequestFault::TargetTooLong));
        assert_eq!(found(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100))), Err(RequestFault::TargetTooLong));
        assert_eq!(found(&format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(200))), Err(RequestFault::HeaderTooLarge));
    }

    #[test]
    fn a_response_may_end_its_lines_with_a_lone_lf() {
        let found = |bytes: &str| Search::default().response(bytes.as_bytes(), 100);
        assert_eq!(found("HTTP/1.1 200 OK\n\nbody"), Ok(Some(17)));
        assert_eq!(found("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), Ok(Some(25)));
        assert_eq!(found("HTT"), Ok(None));
        for bytes in ["SSH-2", "HTTP/2.0 200\r\n", " HTTP/1.1", "HTTP/1.1 200 OK\rx", "<html>"] {
            assert_eq!(found(bytes), Err(ResponseFault::Malformed), "{bytes:?}");
        }
        assert!(found(&format!("HTTP/1.1 200 {}", "a".repeat(100))).is_err());
    }
}
