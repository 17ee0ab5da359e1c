//! Request and response heads.

use std::mem::MaybeUninit;
use std::ops::Range;

use http::{Method, StatusCode};
use httparse::{Error, Header, ParserConfig};

use super::encode::status_line;
use super::fault::{RequestFault, ResponseFault};
use super::fields::Fields;
use super::framing::{self, BodyLength};
use super::name::Name;
use super::search::{Bounds, Search};
use super::version::Version;

/// The head of a request: all it said, as it said it.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version its client speaks.
    pub version: Version,
    /// How its body is framed.
    pub length: BodyLength,
    /// Its fields.
    pub fields: Fields,
    target: Range<u32>,
}

/// The head of a response.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status code.
    pub status: StatusCode,
    /// The version the endpoint speaks.
    pub version: Version,
    /// Its fields.
    pub fields: Fields,
    reason: Range<u32>,
}

impl RequestHead {
    /// Reads the head that `bytes` begin with, all that has come, into `memory`, and says where it ends; `None` as long as there is
    /// more of it to come. `search` is the one of this head from its first byte on.
    ///
    /// # Errors
    /// What is wrong with it, as soon as no further byte can mend that.
    pub fn read(
        bytes: &[u8],
        search: &mut Search,
        bounds: Bounds,
        memory: impl FnOnce() -> Fields,
    ) -> Result<Option<(Self, usize)>, RequestFault> {
        // Most heads are there whole at the first look. What the tokenizer takes then has an end that a search would find too, but for
        // lines without a CR; whatever else is the matter, the search says it.
        if search.is_new() {
            let mut uninit = [const { MaybeUninit::<Header<'_>>::uninit() }; REQUEST_FIELDS_MAX];
            let mut parsed = httparse::Request::new(&mut []);
            if let Ok(httparse::Status::Complete(end)) = parsed.parse_with_uninit_headers(bytes, &mut uninit)
                && end < bounds.line.min(bounds.head)
                && !has_lone_lf(&bytes[..end])
            {
                return Ok(Some((Self::of(&bytes[..end], parsed, memory())?, end)));
            }
        }
        match search.request(bytes, bounds)? {
            Some(end) => Ok(Some((Self::parse(&bytes[..end], memory())?, end))),
            None => Ok(None),
        }
    }

    /// Reads a whole head, as [`Search`] has found it, into the memory of `fields`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8], fields: Fields) -> Result<Self, RequestFault> {
        Self::parse_up_to::<REQUEST_FIELDS_MAX>(bytes, fields)
    }

    /// The same of a head that we have written ourselves: that of a client, with what we say besides.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_written(bytes: &[u8], fields: Fields) -> Result<Self, RequestFault> {
        Self::parse_up_to::<{ REQUEST_FIELDS_MAX + WRITTEN_FIELDS_MAX }>(bytes, fields)
    }

    fn parse_up_to<const FIELDS_MAX: usize>(bytes: &[u8], fields: Fields) -> Result<Self, RequestFault> {
        let mut uninit = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut uninit) {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => Self::of(bytes, parsed, fields),
            Ok(_) => Err(RequestFault::Malformed),
            Err(Error::TooManyHeaders) => Err(RequestFault::HeaderTooLarge),
            Err(_) => Err(why_not(bytes)),
        }
    }

    /// Of what the tokenizer has found in `bytes`.
    fn of(bytes: &[u8], parsed: httparse::Request<'_, '_>, fields: Fields) -> Result<Self, RequestFault> {
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(RequestFault::Malformed);
        };
        // RFC 9112 §3.2: a target has no fragment; whoever drops it reads another target.
        if target.bytes().fold(false, |found, byte| found | (byte == b'#')) {
            return Err(RequestFault::BadTarget);
        }
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestFault::Malformed)?;
        let at = offset(bytes, target.as_bytes());
        let fields = listed(fields, bytes, parsed.headers);
        let length = framing::of_request(&fields, version)?;
        Ok(Self { method, version, length, fields, target: at.start as u32..at.end as u32 })
    }

    /// A head that came in frames (RFC 9113 §8.3): `target` is what its `:path` says, `fields` begins with its host. `has_body` says that
    /// its stream goes on behind it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_frames(method: Method, target: &str, mut fields: Fields, has_body: bool) -> Result<Self, RequestFault> {
        // §8.3.1: a path, or `*`; anything else would name a host a second time.
        if !(target.starts_with('/') || target == "*") {
            return Err(RequestFault::BadTarget);
        }
        if fields.len() > REQUEST_FIELDS_MAX {
            return Err(RequestFault::HeaderTooLarge);
        }
        let length = match framing::of_request(&fields, Version::Http2)? {
            BodyLength::None if has_body => BodyLength::Chunked,
            BodyLength::Known(length) if !has_body && length > 0 => return Err(RequestFault::BadFraming),
            length => length,
        };
        let at = fields.bytes.len();
        fields.bytes.extend_from_slice(target.as_bytes());
        let target = at as u32..fields.bytes.len() as u32;
        Ok(Self { method, version: Version::Http2, length, fields, target })
    }

    /// The target, as it came.
    pub fn target(&self) -> &str {
        // It was text when the head was read.
        std::str::from_utf8(self.target_bytes()).unwrap_or_default()
    }

    /// The same, for whom text need not be text.
    pub fn target_bytes(&self) -> &[u8] {
        &self.fields.bytes[range(&self.target)]
    }

    /// Whether the client wants the connection to be closed behind the answer (RFC 9112 §9.3).
    pub fn wants_close(&self) -> bool {
        let says = |word| self.fields.all(Name::Connection).any(|value| super::lists(value, word));
        match self.version {
            Version::Http11 | Version::Http2 => says(b"close"),
            Version::Http10 => !says(b"keep-alive") || says(b"close"),
        }
    }
}

impl ResponseHead {
    /// An answer of our own, without fields yet.
    pub fn new(status: StatusCode) -> Self {
        Self { status, version: Version::Http11, fields: Fields::default(), reason: 0..0 }
    }

    /// Reads the head that `bytes` begin with, at most `head_max` of all that has come, into `memory`, and says where it ends; `None`
    /// as long as there is more of it to come. `search` is the one of this head from its first byte on.
    ///
    /// # Errors
    /// What is wrong with it, as soon as no further byte can mend that.
    pub fn read(
        bytes: &[u8],
        search: &mut Search,
        head_max: usize,
        memory: impl FnOnce() -> Fields,
    ) -> Result<Option<(Self, usize)>, ResponseFault> {
        // As with requests; of a response the tokenizer takes what the search takes.
        if search.is_new() {
            let mut few = [const { MaybeUninit::<Header<'_>>::uninit() }; FEW];
            let mut parsed = httparse::Response::new(&mut []);
            let config = ParserConfig::default();
            if let Ok(httparse::Status::Complete(end)) =
                config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut few)
                && end <= head_max
            {
                return Ok(Some((Self::of(&bytes[..end], parsed, memory())?, end)));
            }
        }
        match search.response(bytes, head_max)? {
            Some(end) => Ok(Some((Self::parse(&bytes[..end], memory())?, end))),
            None => Ok(None),
        }
    }

    /// Reads a whole head, as [`Search`] has found it, into the memory of `fields`.
    ///
    /// # Errors
    /// What is wrong with it.
    // Not where the head is read at the first look, or every request would pay for this list's 32 KiB of stack.
    #[inline(never)]
    pub fn parse(bytes: &[u8], fields: Fields) -> Result<Self, ResponseFault> {
        let mut many = [const { MaybeUninit::<Header<'_>>::uninit() }; RESPONSE_FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        match ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut many) {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => Self::of(bytes, parsed, fields),
            Err(Error::TooManyHeaders) => Err(ResponseFault::TooManyFields),
            _ => Err(ResponseFault::Malformed),
        }
    }

    /// Of what the tokenizer has found in `bytes`.
    fn of(bytes: &[u8], parsed: httparse::Response<'_, '_>, fields: Fields) -> Result<Self, ResponseFault> {
        let (Some(code), Some(reason), Some(minor)) = (parsed.code, parsed.reason, parsed.version) else {
            return Err(ResponseFault::Malformed);
        };
        let status = StatusCode::from_u16(code).map_err(|_| ResponseFault::Malformed)?;
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        // Of an empty one the parser gives a text of its own.
        let at = if reason.is_empty() { 0..0 } else { offset(bytes, reason.as_bytes()) };
        let fields = listed(fields, bytes, parsed.headers);
        Ok(Self { status, version, fields, reason: at.start as u32..at.end as u32 })
    }

    /// How the body behind it is framed. `to_head` says that the request was a HEAD.
    ///
    /// # Errors
    /// `Malformed`, for a body that two readers could end in two places.
    pub fn length(&self, to_head: bool) -> Result<BodyLength, ResponseFault> {
        framing::of_response(&self.fields, self.version, self.status, to_head)
    }

    /// The reason phrase, as the endpoint wrote it.
    pub fn reason(&self) -> &[u8] {
        &self.fields.bytes[range(&self.reason)]
    }

    /// Writes the status line and all fields, not the empty line.
    pub fn write(&self, out: &mut Vec<u8>) {
        status_line(out, self.status, self.reason());
        self.fields.write(out, |_| true);
    }
}

/// Whether a line ends without a CR.
fn has_lone_lf(bytes: &[u8]) -> bool {
    // Without an early exit, which the compiler makes sixteen bytes at a time.
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    let is_lone = |(before, byte): (&u8, &u8)| u8::from(*byte == b'\n') & u8::from(*before != b'\r');
    bytes.first() == Some(&b'\n') || pairs.fold(0, |found, pair| found | is_lone(pair)) != 0
}

/// The fields that the tokenizer has found in `bytes`, with a copy of these.
fn listed(mut fields: Fields, bytes: &[u8], headers: &[Header<'_>]) -> Fields {
    fields.begin(bytes, headers.len());
    for header in headers {
        fields.push(offset(bytes, header.name.as_bytes()), offset(bytes, header.value.trim_ascii()));
    }
    fields
}

/// Where `part` stands in `whole`, of which it is a part.
fn offset(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len());
    start..(start + part.len()).min(whole.len())
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Why the tokenizer takes no head of `bytes`. A transfer coding other than `chunked` decides the status (501), whatever else is wrong.
fn why_not(bytes: &[u8]) -> RequestFault {
    for line in bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if Name::of(name) == Name::TransferEncoding && !value.eq_ignore_ascii_case(b"chunked") {
            return RequestFault::UnknownCoding;
        }
    }
    RequestFault::Malformed
}

/// More is refused with 431.
const REQUEST_FIELDS_MAX: usize = 100;
/// We say a dozen things of a request besides.
const WRITTEN_FIELDS_MAX: usize = 28;
/// More is refused with 502. Some frameworks send a cookie or a link for each of many things.
const RESPONSE_FIELDS_MAX: usize = 1_024;
/// What nearly every response does with at the first look.
const FEW: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<RequestHead, RequestFault> {
        RequestHead::parse(text.as_bytes(), Fields::default())
    }

    #[test]
    fn a_request_head_says_what_it_said() {
        let head = request("POST /a?b HTTP/1.1\r\nHost: a\r\nX-Own:\t b \r\ncontent-length: 003\r\n\r\n").unwrap();
        assert_eq!((head.method, head.version, head.length), (Method::POST, Version::Http11, BodyLength::Known(3)));
        let fields: Vec<_> = head.fields.iter().map(|field| (field.spelled, field.value)).collect();
        assert_eq!(fields, [(&b"Host"[..], &b"a"[..]), (b"X-Own", b"b"), (b"content-length", b"003")]);
        assert_eq!(request("\r\nGET * HTTP/1.0\r\n\r\n").unwrap().target(), "*");
    }

    /// What `read` makes of a head when it comes whole, and when it comes in two pieces.
    fn both(bytes: &[u8], first: usize) -> [String; 2] {
        let bounds = Bounds { line: 40, head: 60 };
        let read = |ends: &[usize]| {
            let (mut search, mut read) = (Search::default(), None);
            for &end in ends.iter().filter(|&&end| end > 0) {
                let request = RequestHead::read(&bytes[..end], &mut search, bounds, Fields::default);
                if !matches!(request, Ok(None)) {
                    return format!("{request:?}");
                }
                read = Some(request);
            }
            format!("{read:?}")
        };
        [read(&[bytes.len()]), read(&[first, bytes.len()])]
    }

    #[test]
    fn a_head_that_comes_whole_is_read_as_one_that_is_searched() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.0\r\nA:b\r\n\r\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\n\r\n",
            "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n\n",
            "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
            "GET / HTTP/1.1\r\n b\r\n\r\n",
            "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /#a HTTP/1.1\r\n\r\n",
        ] {
            for behind in ["", "GET", "\n", "\r\n"] {
                let bytes = [head, behind].concat();
                for first in 1..bytes.len() {
                    let [whole, searched] = both(bytes.as_bytes(), first);
                    assert_eq!(whole, searched, "{bytes:?}, first {first}");
                }
            }
        }
        let response = |text: &str| {
            let read = ResponseHead::read(text.as_bytes(), &mut Search::default(), 40, Fields::default);
            read.map(|read| read.map(|(head, end)| (head.fields.len(), end)))
        };
        assert_eq!(response("HTTP/1.1 200 OK\nA: b\n\nbody"), Ok(Some((1, 22))));
        assert_eq!(response("HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
        assert_eq!(response("HTTP/1.1 200 OK\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n"), Err(ResponseFault::Malformed));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(FEW + 1));
        let read = ResponseHead::read(many.as_bytes(), &mut Search::default(), 1_000, Fields::default);
        assert_eq!(read.unwrap().unwrap().0.fields.len(), FEW + 1);
    }

    #[test]
    fn what_two_readers_would_end_in_two_places_is_refused() {
        let fault = |fields: &str| request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).err();
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
            assert_eq!(fault(fields), Some(RequestFault::BadFraming), "{fields:?}");
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
            "Transfer-Encoding:\r\n chunked",
        ] {
            assert_eq!(fault(fields), Some(RequestFault::UnknownCoding), "{fields:?}");
        }
        assert_eq!(fault("Content-Length: 18446744073709551615"), None);
        assert_eq!(fault("Content-Length: 3\r\nContent-Length: 03"), None);
        assert_eq!(request("GET /a#b HTTP/1.1\r\n\r\n").err(), Some(RequestFault::BadTarget));
        assert!(request("G#T /a HTTP/1.1\r\n\r\n").is_ok());
    }

    #[test]
    fn a_request_has_a_hundred_fields_and_a_response_a_thousand() {
        let fields = |count: usize| "A: b\r\n".repeat(count);
        let request = |count| request(&format!("GET / HTTP/1.1\r\n{}\r\n", fields(count)));
        assert!(request(100).is_ok());
        assert_eq!(request(101).err(), Some(RequestFault::HeaderTooLarge));
        let response = |count| {
            ResponseHead::parse(format!("HTTP/1.1 200 OK\r\n{}\r\n", fields(count)).as_bytes(), Fields::default())
        };
        assert_eq!(response(1_024).unwrap().fields.len(), 1_024);
        assert_eq!(response(1_025).err(), Some(ResponseFault::TooManyFields));
    }

    #[test]
    fn a_response_keeps_its_reason_and_is_framed_by_what_it_answers() {
        let head = |text: &str| ResponseHead::parse(text.as_bytes(), Fields::default());
        assert_eq!(head("HTTP/1.1 404 Nothing Here\r\n\r\n").unwrap().reason(), b"Nothing Here");
        assert_eq!(head("HTTP/1.0 200\r\n\r\n").unwrap().reason(), b"");
        let length = |text: &str, to_head| head(text).unwrap().length(to_head);
        assert_eq!(length("HTTP/1.1 200 OK\r\n\r\n", false), Ok(BodyLength::UntilClose));
        assert_eq!(length("HTTP/1.1 200 OK\nContent-Length: 3\n\n", false), Ok(BodyLength::Known(3)));
        assert_eq!(length("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true), Ok(BodyLength::None));
        assert_eq!(length("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", false), Ok(BodyLength::None));
        for framing in ["Content-Length: 3\r\nContent-Length: 3", "Transfer-Encoding: gzip", "Content-Length: -1"] {
            let text = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
            assert_eq!(length(&text, false), Err(ResponseFault::Malformed), "{framing}");
        }
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(length(old, false), Err(ResponseFault::Malformed));
    }

    #[test]
    fn a_connection_ends_as_its_client_wants() {
        let wants = |version: &str, connection: &str| {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
            request(&head).unwrap().wants_close()
        };
        assert!(!wants("1.1", "keep-alive") && wants("1.1", "x, Close"));
        assert!(wants("1.0", "x") && !wants("1.0", "Keep-Alive") && wants("1.0", "keep-alive, close"));
    }
}
