//! Answers that break HTTP on purpose, and the few a strict server library does not offer.
//!
//! Decides the exact bytes of each. Called by the routes; `connection` sends them. Never reads a request.

use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::query::{Query, Wrong};
use crate::streams::{PIECE_MAX, Pattern};

/// An answer byte by byte: head, pattern, tail; then what becomes of the connection.
#[derive(Debug)]
pub(crate) struct Raw {
    head: Vec<u8>,
    body: Option<Pattern>,
    tail: &'static [u8],
    then: Then,
}

/// What becomes of the connection after a raw answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    KeepAlive,
}

impl Raw {
    pub(crate) async fn send<W: AsyncWrite + Unpin>(mut self, socket: &mut W) -> io::Result<Then> {
        socket.write_all(&self.head).await?;
        if let Some(pattern) = &mut self.body {
            while let Some(piece) = poll_fn(|cx| pattern.poll_next(cx)).await {
                socket.write_all(&piece).await?;
            }
        }
        socket.write_all(self.tail).await?;
        socket.flush().await?;
        Ok(self.then)
    }

    fn closing(head: impl Into<Vec<u8>>) -> Raw {
        Raw { head: head.into(), body: None, tail: b"", then: Then::Close }
    }

    fn with_body(mut self, length: u64) -> Raw {
        self.body = Some(Pattern::new(length, PIECE_MAX, Duration::ZERO));
        self
    }
}

/// A body that only the close ends, as in HTTP/1.0.
pub(crate) fn until_close(body: Pattern) -> Raw {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
    Raw { body: Some(body), ..Raw::closing(head) }
}

/// `?n=1000`: a counted body of which half comes.
pub(crate) fn half(query: Query<'_>) -> Result<Raw, Wrong> {
    let length = query.number("n", 1000, 1..=BODY_MAX)?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    Ok(Raw::closing(head).with_body(length / 2))
}

/// `?n=1000&cut=inside|between`: half of a chunked body, cut inside a chunk or where the next should begin.
pub(crate) fn half_chunk(query: Query<'_>) -> Result<Raw, Wrong> {
    let length = query.number("n", 1000, 2..=BODY_MAX)?;
    let cut = query.word("cut", ["inside", "between"])?;
    let (size, tail): (u64, &[u8]) = if cut == "inside" { (length, b"") } else { (length / 2, b"\r\n") };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
    Ok(Raw { tail, ..Raw::closing(head).with_body(length / 2) })
}

/// Bytes that are no HTTP.
pub(crate) fn rubbish() -> Raw {
    Raw::closing(b"\x00\xff\x16\x03 this is no HTTP \xfe\r\n\r\n".as_slice())
}

/// Two lengths that differ.
pub(crate) fn two_lengths() -> Raw {
    Raw::closing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
}

/// A length and chunks: five bytes to one reader, fifteen to another.
pub(crate) fn both_framings() -> Raw {
    Raw::closing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
}

/// A chunked body with a trailer, whether or not the client said `TE: trailers`; the connection stays open.
pub(crate) fn trailers() -> Raw {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum\r\n\r\n\
                b\r\nhello world\r\n0\r\nx-checksum: 779a65e7023cd2e7\r\n\r\n";
    Raw { then: Then::KeepAlive, ..Raw::closing(head) }
}

/// `?n=1&code=103&final=1`: interim answers, then a 200, or a close where `final=0`.
pub(crate) fn interim(query: Query<'_>, greeting: &str) -> Result<Raw, Wrong> {
    let count = query.number("n", 1, 0..=1000)?;
    let code = query.number("code", 103, 100..=199)?;
    let reason = match code {
        100 => "Continue",
        102 => "Processing",
        103 => "Early Hints",
        _ => "Interim",
    };
    let mut head = String::new();
    for _ in 0..count {
        // Writing to a String does not fail.
        let _ = write!(head, "HTTP/1.1 {code} {reason}\r\nLink: </style.css>; rel=preload\r\n\r\n");
    }
    if query.number("final", 1, 0..=1)? == 0 {
        return Ok(Raw::closing(head));
    }
    let length = greeting.len();
    let _ = write!(head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{greeting}");
    Ok(Raw { then: Then::KeepAlive, ..Raw::closing(head) })
}

/// The longest body a route promises, in bytes.
pub(crate) const BODY_MAX: u64 = 1 << 40;
