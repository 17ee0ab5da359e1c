//! One question to an endpoint, on a connection of its own.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use super::{Buffer, Encryption, Outbox, Socket, connect, timeout};
use crate::config::{Address, ProxyProtocol, Question};
use crate::http1::{BodyDecoder, Fields, ResponseHead, Search};
use crate::proxy_protocol;

/// What was answered, of which the rest may still be under way.
#[derive(Debug)]
pub struct Answer {
    /// The status, of which alone is judged.
    pub status: u16,
    rest: Option<Rest>,
}

/// Where the rest of an answer comes from.
#[derive(Debug)]
struct Rest {
    socket: Socket,
    inbox: Buffer,
    body: BodyDecoder,
}

/// What a question is answered at one of `addresses`, which is asked as `host` where the question has no other.
///
/// # Errors
/// Those of [`connect`] and of the connection, and an answer that is not HTTP/1.
pub async fn get(
    addresses: &[Address],
    encryption: &Encryption,
    host: &Address,
    question: &Question,
) -> io::Result<Answer> {
    let socket = connect(addresses, encryption).await?;
    get_over(socket, host, question).await
}

/// The same over a connection that is there.
///
/// # Errors
/// Those of the connection, and an answer that is not HTTP/1.
pub async fn get_over(mut socket: Socket, address: &Address, question: &Question) -> io::Result<Answer> {
    let host = match (&question.host, address) {
        (Some(host), _) => host.clone(),
        (None, Address::Tcp { .. }) => address.to_string(),
        (None, Address::Unix(_)) => "localhost".to_owned(),
    };
    #[cfg(feature = "http2")]
    if question.http2 {
        let status = super::ask_http2::ask(socket, &host, question).await?;
        return Ok(Answer { status, rest: None });
    }
    let path = &question.path;
    let fields: String = question.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let named = |name: &str| question.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let agent = if named("user-agent") { "" } else { "User-Agent: balancer\r\n" };
    let accept = if named("accept") { "" } else { "Accept: */*\r\n" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{agent}{accept}{fields}Connection: close\r\n\r\n");
    let mut out = Outbox::default();
    // Where it is encrypted, that stands in front of the handshake.
    let announced = question.announced.filter(|_| socket.session().is_none());
    out.end().extend_from_slice(announced.map_or(b"", announcement));
    out.end().extend_from_slice(request.as_bytes());
    while !out.is_empty() {
        let written = poll_fn(|cx| socket.poll_write(cx, out.unwritten())).await?;
        out.written(written);
    }
    let mut inbox = Buffer::default();
    loop {
        let head = read_head(&mut socket, &mut inbox).await?;
        // What is interim is no answer yet (RFC 9110 §15.2).
        if !head.status.is_informational() {
            let body = BodyDecoder::new(head.length(false).map_err(|_| no_http())?);
            return Ok(Answer { status: head.status.as_u16(), rest: Some(Rest { socket, inbox, body }) });
        }
    }
}

impl Answer {
    /// Takes the rest, within reason: an endpoint whose answer is refused halfway may take that for an error.
    pub async fn finish(self) {
        let Some(mut rest) = self.rest else { return };
        let _ = timeout(REST_TIMEOUT, async {
            let mut taken = 0;
            while !rest.body.is_done() && taken < BYTES_MAX {
                if rest.inbox.is_empty() && read(&mut rest.socket, &mut rest.inbox).await? == 0 {
                    break;
                }
                let decoded = rest.body.decode(rest.inbox.unread_mut()).map_err(|_| no_http())?;
                taken += decoded.used;
                rest.inbox.consume(decoded.used);
                rest.body.take_trailers();
            }
            io::Result::Ok(())
        })
        .await;
    }
}

/// What begins a connection of our own where the endpoint wants to be told whose it is.
pub fn announcement(version: ProxyProtocol) -> &'static [u8] {
    match version {
        ProxyProtocol::V1 => proxy_protocol::LOCAL_V1,
        ProxyProtocol::V2 => proxy_protocol::LOCAL_V2,
    }
}

async fn read_head(socket: &mut Socket, inbox: &mut Buffer) -> io::Result<ResponseHead> {
    let mut search = Search::default();
    loop {
        let head = ResponseHead::read(inbox.unread(), &mut search, HEAD_MAX, Fields::default);
        match head.map_err(|_| no_http())? {
            Some((head, end)) => {
                inbox.consume(end);
                return Ok(head);
            }
            None if read(socket, inbox).await? == 0 => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"));
            }
            None => {}
        }
    }
}

async fn read(socket: &mut Socket, inbox: &mut Buffer) -> io::Result<usize> {
    poll_fn(|cx| socket.poll_read(cx, inbox)).await
}

fn no_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1")
}

const HEAD_MAX: usize = 128 * 1024;
const BYTES_MAX: usize = 1024 * 1024;
const REST_TIMEOUT: Duration = Duration::from_secs(1);
