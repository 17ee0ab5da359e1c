//! Raw bytes of a chunked body, in a request and in a response.

use crate::message::Kind;
use crate::readers::Reader;
use crate::reading::read;
use crate::splits::read_however_it_comes;
use crate::targets::{request, response};
use crate::written::written;

pub(crate) const WORDS: &[&str] = &[
    "0",
    "1",
    "5",
    "a",
    "F",
    "10",
    "0\r\n",
    "0\r\n\r\n",
    "\r\n",
    "\r",
    "\n",
    "5\r\nhello\r\n",
    "1;a=b\r\nx\r\n",
    "1 ; a = \"b;\\\"c\" ;d\r\nx\r\n",
    "1 \r\nx\r\n",
    "1\t\r\nx\r\n",
    "1;\r\nx\r\n",
    "1 x\r\nx\r\n",
    ";",
    "=",
    "\"",
    " ",
    "\t",
    "\0",
    "\u{7f}",
    "\u{e9}",
    "X: y\r\n",
    "X:\r\n",
    "X: \t y \t\r\n",
    "X : y\r\n",
    " folded\r\n",
    ":",
    "Content-Length: 5\r\n",
    "Host: b\r\n",
    "0000000000000000",
    "ffffffffffffffff\r\n",
    "7fffffffffffffff\r\n",
    "0x5\r\n",
    "+5\r\n",
    "5_\r\n",
    "05\r\n",
];

pub(crate) fn run(bytes: &[u8]) {
    // Whatever is whole in one direction is whole in the other.
    let both = HEADS.map(|(kind, head)| {
        let message = [head.as_bytes(), bytes].concat();
        let first = read_however_it_comes(kind, &message).messages.into_iter().next()?;
        // What stands behind the end changes nothing before it.
        let alone = read(kind, [&message[..first.range.end]]);
        assert_eq!(alone.messages.first(), Some(&first), "{}", message.escape_ascii());
        written(kind, &first);
        Some((first.message.body, first.message.trailers))
    });
    assert_eq!(both[0], both[1], "{}", bytes.escape_ascii());
}

pub(crate) fn compare(bytes: &[u8], readers: &mut [Reader]) {
    request::compare(&[HEADS[0].1.as_bytes(), bytes].concat(), readers);
    response::compare(&[HEADS[1].1.as_bytes(), bytes].concat(), readers);
}

const HEADS: [(Kind, &str); 2] = [
    (Kind::Request, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (Kind::Response, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
];
