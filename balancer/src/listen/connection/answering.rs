//! The answer of a request, on its way to the client.
//!
//! Decides how a body is framed and whether the connection can go on behind it (RFC 9112 §6, §9). Called by whoever answers. Never reads
//! what the client sends.

use std::io;
use std::task::{Context, Poll};

use http::{Method, StatusCode};

use super::stream::{BodyFraming, Progress, Stream};
use crate::http1::{BodyLength, Fields, RequestHead, ResponseHead, Version, lists, status_line, trailer_section};
use crate::net::Buffer;

impl Stream {
    /// Passes an interim response on (RFC 9110 §15.2), 103 that is; for 100 see [`Self::go_on`].
    pub fn interim(&mut self, head: &ResponseHead) {
        if let Some(frames) = &mut self.frames {
            return frames.interim(head.status, &head.fields);
        }
        let out = self.outgoing.head();
        head.write(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Tells the client to send its body.
    pub fn go_on(&mut self) {
        if let Some(frames) = &mut self.frames {
            return frames.interim(StatusCode::CONTINUE, &Fields::default());
        }
        status_line(self.outgoing.head(), StatusCode::CONTINUE, b"");
        self.outgoing.head().extend_from_slice(b"\r\n");
    }

    /// Begins the answer. `head` must hold no field for framing or for the connection, with one exception: where there is no body it
    /// may hold the `Content-Length` that a GET would have got. `close` says that the connection ends with the answer.
    pub fn respond(&mut self, head: &ResponseHead, length: BodyLength, close: bool) {
        let Some(request) = &self.head else { return };
        self.state = Progress::Responding;
        if let Some(frames) = &mut self.frames {
            let is_bodiless =
                request.method == Method::HEAD || matches!(length, BodyLength::None | BodyLength::Known(0));
            return frames.respond(head, length, !is_bodiless);
        }
        let is_1_0 = request.version == Version::Http10;
        self.framing = match length {
            BodyLength::None | BodyLength::Known(_) => BodyFraming::Plain,
            // HTTP/1.0 knows no chunks.
            BodyLength::Chunked | BodyLength::UntilClose if is_1_0 => BodyFraming::UntilClose,
            BodyLength::Chunked | BodyLength::UntilClose => BodyFraming::Chunked,
        };
        // What is left of a body that was answered early must not be taken for a request.
        self.keeps = !close
            && self.framing != BodyFraming::UntilClose
            && self.body.is_done()
            && !self.registry.is_draining()
            && !request.wants_close();
        if self.framing == BodyFraming::UntilClose {
            // Whatever closes the socket before the end of the body, be it the end of the program, must not look like that.
            self.socket.reset_on_close();
        }
        let out = self.outgoing.head();
        head.write(out);
        match (self.framing, length) {
            (BodyFraming::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            (_, BodyLength::Known(length)) => {
                out.extend_from_slice(b"Content-Length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // Its fields say what becomes of the connection.
            self.keeps = false;
        } else if !self.keeps {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if is_1_0 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Sends a piece of the answer's body.
    pub fn send(&mut self, piece: Buffer) {
        let piece = if self.framing == BodyFraming::Chunked { piece.into_chunk(false) } else { piece };
        self.outgoing.push(piece);
    }

    /// Ends the answer's body, with these trailers if they may be sent.
    pub fn finish(&mut self, trailers: &Fields) {
        self.state = Progress::Finished;
        if self.framing == BodyFraming::Chunked {
            let mut end = Vec::new();
            let none = Fields::default();
            let wanted = self.head.as_ref().is_some_and(|head| wants_trailers(head));
            trailer_section(&mut end, if wanted { trailers } else { &none });
            self.outgoing.push_copy(&end);
        } else if let Some(frames) = &mut self.frames {
            let wanted = self.head.as_ref().is_some_and(|head| wants_trailers(head));
            frames.finish(wanted.then_some(trailers));
        }
    }

    /// Breaks the answer off: the client must not take what it has for the whole.
    pub fn cut(&mut self) {
        self.state = Progress::Cut;
    }

    /// Memory of what waits for the client.
    pub fn waiting(&self) -> usize {
        self.outgoing.taken()
    }

    /// Bytes that the client has been sent, ever.
    pub fn written(&self) -> u64 {
        self.outgoing.written()
    }

    /// Bytes that the client has acknowledged, where the kernel tells it, or been sent, ever: what grows is what it takes. One
    /// system call.
    pub fn acknowledged(&self) -> u64 {
        self.socket.acknowledged().unwrap_or(self.outgoing.written())
    }

    /// Whether nothing waits for the client.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the client is gone.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.frames {
            None => self.outgoing.poll_flush(cx, &mut self.socket),
            Some(frames) => frames.poll_flush(cx, &mut self.outgoing),
        }
    }
}

/// Whether the client has said that it reads trailers (RFC 9110 §10.1.4).
fn wants_trailers(head: &RequestHead) -> bool {
    head.fields.all(crate::http1::Name::Te).any(|value| lists(value, b"trailers"))
}
