//! Where a client's messages begin and end: a second look at what the parser will read, and the stricter of the two.
//!
//! The parser reads a `Transfer-Encoding` beside a `Content-Length`, takes the last of several codings for the only one, and
//! drops fragments. Each is a message that somebody before or behind us may read differently (RFC 9112 §6.1, §11.2). So the
//! bytes pass here first, one message at a time, and what the two readers see must be the same.

use memchr::memchr;

use super::Refusal;
use super::chunks::Chunks;

/// Follows the messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// How long that line is so far, which may be more than is kept.
    line_length: usize,
    /// Its last byte.
    last: u8,
    length: Option<u64>,
    chunked: bool,
    serverwide: bool,
}

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes; 0 where there is none.
    Counted(u64),
    Chunked,
}

/// What was found in some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many of them belong to the message and are as they must be.
    pub(super) length: usize,
    /// How its body is framed, if its header section ended here.
    pub(super) body: Option<Body>,
    /// What is wrong behind them.
    pub(super) offence: Option<Refusal>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    RequestLine,
    Fields,
    Counted(u64),
    Chunked(Chunks),
    /// The message has come to its end.
    Ended,
}

impl Framing {
    /// Whether the message is there, so that what follows belongs to another.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether bytes of a body come next.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.state, State::Counted(_) | State::Chunked(_))
    }

    /// Whether the request is an OPTIONS one whose target has neither path nor query: for the whole server, which RFC 9112
    /// §3.2.4 has us say as `*`. The parser makes `/` of it.
    pub(super) fn is_serverwide(&self) -> bool {
        self.serverwide
    }

    /// Goes on with the next message.
    pub(super) fn next(&mut self) {
        self.state = State::RequestLine;
    }

    /// Follows the message through `bytes`, at most to its end. A request line has fewer than `line_max` bytes.
    pub(super) fn advance(&mut self, bytes: &[u8], line_max: usize) -> Seen {
        let mut seen = Seen { length: 0, body: None, offence: None };
        while seen.length < bytes.len() && !self.has_ended() {
            let rest = &bytes[seen.length..];
            match &mut self.state {
                State::RequestLine | State::Fields => match self.line(rest, line_max) {
                    Ok(length) => {
                        seen.length += length;
                        seen.body = seen.body.or(self.body_begins());
                    }
                    Err(offence) => {
                        seen.offence = Some(offence);
                        break;
                    }
                },
                State::Counted(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= length as u64;
                    seen.length += length;
                    if *left == 0 {
                        self.state = State::Ended;
                    }
                }
                State::Chunked(chunks) => {
                    let (length, ended) = chunks.advance(rest);
                    seen.length += length;
                    match ended {
                        Ok(true) => self.state = State::Ended,
                        Ok(false) => {}
                        Err(_) => {
                            seen.offence = Some(Refusal::BadBody);
                            break;
                        }
                    }
                }
                State::Ended => {}
            }
        }
        seen
    }

    /// Takes a line of the header section, or what of it is there; how many bytes that are.
    fn line(&mut self, bytes: &[u8], line_max: usize) -> Result<usize, Refusal> {
        let end = memchr(b'\n', bytes);
        let length = end.unwrap_or(bytes.len());
        let before = self.line_length;
        if matches!(self.state, State::RequestLine) && before + length >= line_max {
            return Err(Refusal::TargetTooLong);
        }
        let Some(end) = end else {
            self.keep(bytes);
            return Ok(length);
        };
        // RFC 9112 §2.2 lets a reader take a lone LF for the end of a line. Who did so would see two fields where another sees
        // one value.
        if before == 0 {
            let Some((b'\r', line)) = bytes[..end].split_last() else { return Err(Refusal::Malformed) };
            self.whole_line(line, false)?;
        } else {
            self.keep(&bytes[..end]);
            if self.last != b'\r' {
                return Err(Refusal::Malformed);
            }
            let mut line = std::mem::take(&mut self.line);
            let length = std::mem::take(&mut self.line_length) - 1;
            let cut = line.len() < length;
            line.truncate(length);
            self.whole_line(&line, cut)?;
        }
        Ok(end + 1)
    }

    fn keep(&mut self, bytes: &[u8]) {
        // A request line is shorter than `line_max` anyway.
        let room = match self.state {
            State::RequestLine => bytes.len(),
            _ => FIELD_KEPT.saturating_sub(self.line.len()),
        };
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.line_length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// A line without its end; `cut` when only the beginning of it was kept.
    fn whole_line(&mut self, line: &[u8], cut: bool) -> Result<(), Refusal> {
        let Some(first) = line.first() else {
            // RFC 9112 §2.2: empty lines before a request line are none of it.
            if matches!(self.state, State::Fields) {
                self.ends()?;
            }
            return Ok(());
        };
        if matches!(self.state, State::RequestLine) {
            self.state = State::Fields;
            (self.length, self.chunked) = (None, false);
            self.serverwide = line.strip_prefix(b"OPTIONS ").is_some_and(has_no_path);
            return without_fragment(line);
        }
        match first | 0x20 {
            b'c' => self.content_length(line, cut),
            b't' => self.transfer_encoding(line, cut),
            _ => Ok(()),
        }
    }

    /// RFC 9112 §6.3: digits, and of several fields the same.
    fn content_length(&mut self, line: &[u8], cut: bool) -> Result<(), Refusal> {
        let Some(value) = value_of(line, b"content-length:") else { return Ok(()) };
        let text = std::str::from_utf8(value).ok().filter(|_| !cut);
        let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = digits.and_then(|digits| digits.parse().ok()).ok_or(Refusal::BadFraming)?;
        match self.length.replace(length) {
            Some(other) if other != length => Err(Refusal::BadFraming),
            _ => Ok(()),
        }
    }

    /// RFC 9112 §6.1: `chunked`, alone and once; what else there is we do not know.
    fn transfer_encoding(&mut self, line: &[u8], cut: bool) -> Result<(), Refusal> {
        let Some(value) = value_of(line, b"transfer-encoding:") else { return Ok(()) };
        if cut || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::UnknownCoding);
        }
        match std::mem::replace(&mut self.chunked, true) {
            true => Err(Refusal::BadFraming),
            false => Ok(()),
        }
    }

    /// The header section ends.
    fn ends(&mut self) -> Result<(), Refusal> {
        self.state = match (self.chunked, self.length) {
            (true, Some(_)) => return Err(Refusal::BadFraming),
            (true, None) => State::Chunked(Chunks::default()),
            (false, None | Some(0)) => State::Ended,
            (false, Some(length)) => State::Counted(length),
        };
        Ok(())
    }

    fn body_begins(&self) -> Option<Body> {
        match &self.state {
            State::RequestLine | State::Fields => None,
            State::Chunked(_) => Some(Body::Chunked),
            State::Counted(length) => Some(Body::Counted(*length)),
            State::Ended => Some(Body::Counted(0)),
        }
    }
}

/// A target has no fragment (RFC 9112 §3.2); the parser would drop it.
fn without_fragment(line: &[u8]) -> Result<(), Refusal> {
    let Some(first) = memchr(b'#', line) else { return Ok(()) };
    // In a method it is one of the bytes of a token.
    let target = memchr(b' ', line).unwrap_or(line.len());
    match first > target || memchr(b'#', &line[target..]).is_some() {
        true => Err(Refusal::BadTarget),
        false => Ok(()),
    }
}

/// Whether there is nothing behind the authority of a target in absolute-form.
fn has_no_path(line: &[u8]) -> bool {
    let target = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let scheme = memchr(b':', target).unwrap_or_default();
    let is_http = [&b"http"[..], b"https"].iter().any(|name| target[..scheme].eq_ignore_ascii_case(name));
    let authority = target[scheme..].strip_prefix(b"://").filter(|_| is_http);
    authority.is_some_and(|authority| !authority.iter().any(|byte| matches!(byte, b'/' | b'?')))
}

/// The value of a field of that name, which ends in a colon.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// What is kept of a field's line that comes in pieces. One that frames and is longer is an offence.
const FIELD_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a connection, in pieces of `size` bytes: the messages' lengths and framings, and what is wrong.
    fn followed(bytes: &[u8], size: usize) -> (Vec<(usize, Body)>, Option<Refusal>) {
        let (mut framing, mut messages) = (Framing::default(), Vec::new());
        let (mut length, mut body) = (0, None);
        for piece in bytes.chunks(size) {
            let mut at = 0;
            while at < piece.len() {
                let seen = framing.advance(&piece[at..], 8_192);
                (at, length, body) = (at + seen.length, length + seen.length, body.or(seen.body));
                if seen.offence.is_some() {
                    return (messages, seen.offence);
                }
                if framing.has_ended() {
                    messages.push((std::mem::take(&mut length), body.take().unwrap()));
                    framing.next();
                }
            }
        }
        (messages, None)
    }

    fn in_any_pieces(bytes: &str) -> (Vec<(usize, Body)>, Option<Refusal>) {
        let whole = followed(bytes.as_bytes(), usize::MAX);
        for size in [1, 2, 3, 7, 16] {
            assert_eq!(followed(bytes.as_bytes(), size), whole, "in pieces of {size}: {bytes:?}");
        }
        whole
    }

    fn offence(fields: &str) -> Option<Refusal> {
        in_any_pieces(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).1
    }

    #[test]
    fn messages_end_where_they_say_however_they_arrive() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let counted = "\r\nPOST / HTTP/1.1\r\nContent-Length: 003\r\ncontent-length:\t3 \r\nX: 1\r\n\r\nabc";
        let chunked =
            "POST / HTTP/1.1\r\nTE: x\r\nTransfer-encoding: Chunked\t\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
        let (messages, offence) = in_any_pieces(&format!("{get}{counted}{get}{chunked}{get}GET / HT"));
        assert_eq!(offence, None);
        let none = (get.len(), Body::Counted(0));
        assert_eq!(messages, [none, (counted.len(), Body::Counted(3)), none, (chunked.len(), Body::Chunked), none]);
    }

    #[test]
    fn what_two_readers_would_end_in_two_places_is_an_offence() {
        for fields in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "transfer-encoding: chunked\r\nX: y\r\ncontent-length: 0",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 3, 3",
            "Content-Length: +3",
            "Content-Length: 0x3",
            "Content-Length: 3 3",
            "Content-Length: 3.0",
            "Content-Length: 1_0",
            "Content-Length:",
            "Content-Length: 18446744073709551616",
        ] {
            assert_eq!(offence(fields), Some(Refusal::BadFraming), "{fields:?}");
        }
        for fields in [
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding:",
        ] {
            assert_eq!(offence(fields), Some(Refusal::UnknownCoding), "{fields:?}");
        }
        for fields in ["X: a\nY: b", "X: a\n"] {
            assert_eq!(offence(fields), Some(Refusal::Malformed), "{fields:?}");
        }
        assert_eq!(in_any_pieces("GET /a#b HTTP/1.1\r\n\r\n").1, Some(Refusal::BadTarget));
        assert_eq!(in_any_pieces("G#T /a#b HTTP/1.1\r\n\r\n").1, Some(Refusal::BadTarget));
        assert_eq!(in_any_pieces("G#T /a HTTP/1.1\r\n\r\n").1, None);
    }

    #[test]
    fn a_target_without_path_or_query_is_for_the_whole_server() {
        let serverwide = |line: &str| {
            let mut framing = Framing::default();
            framing.advance(format!("{line} HTTP/1.1\r\n\r\n").as_bytes(), 8_192);
            framing.is_serverwide()
        };
        assert!(serverwide("OPTIONS http://a:80") && serverwide("OPTIONS HTTPS://[::1]"));
        for line in [
            "OPTIONS http://a/",
            "OPTIONS http://a?b",
            "OPTIONS /",
            "OPTIONS /?x=http://a",
            "GET http://a",
            "OPTIONS *",
        ] {
            assert!(!serverwide(line), "{line}");
        }
    }

    #[test]
    fn a_field_that_frames_is_read_to_its_end_or_refused() {
        for field in ["Transfer-Encoding: chunked", "Content-Length: 3"] {
            let head = format!("POST / HTTP/1.1\r\n{field}{}, 4\r\n\r\n", " ".repeat(2_000));
            for size in [1, 500, 9_999] {
                assert!(followed(head.as_bytes(), size).1.is_some(), "{field} in pieces of {size}");
            }
        }
    }

    #[test]
    fn only_the_request_line_has_a_length_of_its_own() {
        let long = "a".repeat(8_192);
        assert_eq!(in_any_pieces(&format!("GET /{long}")).1, Some(Refusal::TargetTooLong));
        assert_eq!(in_any_pieces(&format!("GET / HTTP/1.1\r\nX: {long}{long}{long}\r\n\r\n")).1, None);
    }
}
