//! Raw bytes of a client through our reader: the same however they come, the same written anew, the same to other readers.

use balancer::http1::BodyLength;

use crate::message::Kind;
use crate::readers::Reader;
use crate::reading::{Head, Whole, read};
use crate::splits::read_however_it_comes;
use crate::written::{goes_on, written};

pub(crate) const WORDS: &[&str] = &[
    "GET ",
    "HEAD ",
    "POST ",
    "DELETE ",
    "x!y ",
    "/ HTTP/1.1\r\n",
    "HTTP/1.0\r\n",
    "HTTP/1.2",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "content-length:05",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tCHUNKED \r\n",
    "chunked",
    ",",
    "identity",
    "Connection: close\r\n",
    "Upgrade: x\r\nConnection: upgrade\r\n",
    "Expect: 100-continue\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\n\n",
    " ",
    "\t",
    "\0",
    "\u{7f}",
    "\u{b}",
    "\u{e9}",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=b\r\n",
    "5 ;a=\"b;c\"\r\n",
    "5 \r\n",
    "0\r\nX: y\r\n\r\n",
    "0;x\r\n",
    "00000000000000005\r\n",
    "http://b/",
    "HTTPS://b?q",
    "*",
    "?q",
    "#f",
    "%00",
    "%",
    "\\",
    "\"",
    "<>",
    "{|}",
    "[]",
    "^`",
    "Content-Length : 5\r\n",
    " folded\r\n",
    ":",
    "X:\r\n",
    "X: \t y \t\r\n",
    "!#$%&'*+-.^_`|~: x\r\n",
    "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
];

pub(crate) fn run(bytes: &[u8]) {
    for whole in &read_however_it_comes(Kind::Request, bytes).messages {
        assert_ne!(whole.length, BodyLength::UntilClose, "a request is never ended by close (RFC 9112 §6.3)");
        written(Kind::Request, whole);
    }
}

/// Whatever goes on: as it came, and as it is written.
pub(crate) fn compare(bytes: &[u8], readers: &mut [Reader]) {
    for whole in read(Kind::Request, [bytes]).messages.iter().filter(|whole| is_accepted(whole)).take(3) {
        let written = written(Kind::Request, whole);
        for reader in &mut *readers {
            reader.agrees_in(Kind::Request, bytes, std::slice::from_ref(whole));
            if let Some((message, bytes)) = &written {
                reader.agrees(Kind::Request, bytes, 0, message, whole.length);
            }
        }
    }
}

fn is_accepted(whole: &Whole) -> bool {
    matches!(&whole.head, Head::Request(head) if goes_on(&head.0).is_some())
}
