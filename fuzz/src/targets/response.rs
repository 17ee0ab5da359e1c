//! Raw bytes of a worker through our reader: the same however they come, the same written anew, the same to other readers.
//! Behind a first line `HEAD` stand answers to that.

use crate::message::Kind;
use crate::readers::Reader;
use crate::reading::read;
use crate::splits::read_however_it_comes;
use crate::written::written;

pub(crate) const WORDS: &[&str] = &[
    "HEAD\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 \r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    "HTTP/1.1 100\r\n\r\n",
    "HTTP/1.1 101 x\r\n",
    "HTTP/1.1 599 \u{e9}\r\n",
    "HTTP/1.2",
    "Content-Length: 5\r\n",
    "content-length:05",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tCHUNKED \r\n",
    "chunked",
    ",",
    "gzip",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\n\n",
    " ",
    "\t",
    "\0",
    "\u{7f}",
    "\u{e9}",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=b\r\n",
    "5 \r\n",
    "0\r\nX: y\r\n\r\n",
    "hello",
    "Set-Cookie: a=b\r\n",
    "Set-Cookie: c=d\n",
    "X:\r\n",
    "X: \t y \t\r\n",
    " folded\r\n",
    ":",
    "000",
    "999",
];

pub(crate) fn run(bytes: &[u8]) {
    let (kind, bytes) = asked(bytes);
    for whole in &read_however_it_comes(kind, bytes).messages {
        written(kind, whole);
    }
}

/// Every answer that is no tunnel: as it came, and as it is written.
pub(crate) fn compare(bytes: &[u8], readers: &mut [Reader]) {
    let (kind, bytes) = asked(bytes);
    let messages = read(kind, [bytes]).messages;
    let tunnel = messages.iter().position(|whole| whole.message.start[0] == b"101").unwrap_or(messages.len());
    readers.iter_mut().for_each(|reader| reader.agrees_in(kind, bytes, &messages[..tunnel]));
    for whole in messages[..tunnel].iter().filter(|whole| !whole.message.is_interim()).take(3) {
        if let Some((message, bytes)) = written(kind, whole) {
            readers.iter_mut().for_each(|reader| reader.agrees(kind, &bytes, 0, &message, whole.length));
        }
    }
}

fn asked(bytes: &[u8]) -> (Kind, &[u8]) {
    bytes.strip_prefix(b"HEAD\n").map_or((Kind::Response, bytes), |rest| (Kind::ResponseToHead, rest))
}
