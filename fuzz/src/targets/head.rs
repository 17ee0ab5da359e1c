//! Raw bytes of a client: what the worker gets of them is no more, and nothing else, than what a strict reader sees in them.

use crate::message::Kind;
use crate::program::Program;
use crate::readers::Reader;
use crate::reading::{Rest, read as read_ours};
use crate::strict::{Not, Request, read};

pub(crate) const WORDS: &[&str] = &[
    "GET ",
    "POST ",
    "OPTIONS * ",
    "/ HTTP/1.1\r\n",
    "HTTP/1.0\r\n",
    "Host: a\r\n",
    "Content-Length: ",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:",
    "chunked",
    ",",
    ", ",
    "gzip",
    "identity",
    "Connection: ",
    "close",
    "keep-alive",
    "upgrade",
    "Upgrade: x\r\n",
    "Expect: 100-continue\r\n",
    "Trailer: X\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\n\n",
    " ",
    "\t",
    "\0",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=b\r\n",
    "0\r\nX: y\r\n\r\n",
    "ffffffffffffffff\r\n",
    "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "http://b/",
    "?q",
    "#f",
    "%00",
    "Content-Length : 5\r\n",
    "Content_Length: 5\r\n",
    " folded\r\n",
    ":",
    "0",
    "00",
    "+5",
    "0x5",
    "5, 5",
];

pub(crate) fn run(bytes: &[u8]) {
    let seen = Program::get().exchange(bytes);
    assert!(seen.violations.is_empty(), "{:?} of {:?}", seen.violations, String::from_utf8_lossy(bytes));
    let expected = requests(bytes);
    let same = |got: &Request, of: &Request| got.method == of.method && got.body == of.body;
    let fits =
        seen.requests.len() <= expected.len() && seen.requests.iter().zip(&expected).all(|(got, of)| same(got, of));
    assert!(fits, "{:?}\nof {:?}\nin {:?}", seen.requests, expected, String::from_utf8_lossy(bytes));
}

/// What the worker got, other readers read as ours does.
pub(crate) fn compare(bytes: &[u8], readers: &mut [Reader]) {
    for request in Program::get().exchange(bytes).requests {
        let ours = read_ours(Kind::Request, [&request.raw[..]]);
        assert_eq!((ours.messages.len(), &ours.rest), (1, &Rest::Head), "{}", request.raw.escape_ascii());
        for reader in &mut *readers {
            reader.agrees_in(Kind::Request, &request.raw, &ours.messages);
        }
    }
}

/// The requests a strict reader sees, up to what is none.
fn requests(mut bytes: &[u8]) -> Vec<Request> {
    let mut requests = Vec::new();
    loop {
        // RFC 9112 §2.2: empty lines before a request are none of it.
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        match read(bytes) {
            Ok((request, length)) => {
                bytes = &bytes[length..];
                requests.push(request);
            }
            Err(Not::Complete | Not::Valid(_)) => return requests,
        }
    }
}
