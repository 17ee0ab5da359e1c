//! One question to an endpoint, on a connection of its own.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::{Address, Host};
use crate::listen::Socket;

/// What was answered, of which the rest may still be under way.
#[derive(Debug)]
pub struct Answer {
    /// The status, of which alone is judged.
    pub status: u16,
    rest: Socket,
}

impl Answer {
    /// Takes the rest, within reason: an endpoint whose answer is refused halfway may take that for an error.
    pub async fn finish(self) {
        let mut rest = self.rest.take(ANSWER_BYTES_MAX);
        let _ = timeout(ANSWER_REST_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

/// A connection to `address`.
///
/// # Errors
/// Those of connecting and of looking up a name.
pub async fn connect(address: &Address) -> io::Result<Socket> {
    let stream = match address {
        Address::Tcp { host: Host::Ip(ip), port } => TcpStream::connect((*ip, *port)).await?,
        Address::Tcp { host: Host::Name(name), port } => TcpStream::connect((name.as_str(), *port)).await?,
        Address::Unix(path) => return UnixStream::connect(path).await.map(Socket::Unix),
    };
    // The kernel may give the connection that very port on our side, and then connects it to itself: nobody listens.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(Socket::Tcp(stream))
}

/// What a plain GET of `path` is answered. Only the status is looked at, so this is no HTTP client.
///
/// # Errors
/// Those of [`connect`] and of the connection, and an answer that is not HTTP/1.
pub async fn get(address: &Address, path: &str) -> io::Result<Answer> {
    let mut stream = connect(address).await?;
    let host = match address {
        Address::Tcp { .. } => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: balancer\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut line).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "closed without an answer"),
        _ => error,
    })?;
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1");
    Ok(Answer { status: status(&line).ok_or_else(no_http)?, rest: stream })
}

/// The status code of a status line (RFC 9112 section 4), up to the byte behind the code.
fn status(line: &[u8; STATUS_LINE_BYTES]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (code, behind) = code.split_at_checked(3)?;
    let code = code.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(code).ok()?.parse().ok())?;
    code.filter(|_| matches!(behind, b" " | b"\r" | b"\n"))
}

/// `HTTP/1.1 200` and one byte more.
const STATUS_LINE_BYTES: usize = 13;
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
const ANSWER_REST_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_has_a_status() {
        for (line, code) in [
            (b"HTTP/1.1 200 ", Some(200)),
            (b"HTTP/1.0 404\r", Some(404)),
            (b"HTTP/1.1 2000", None),
            (b"HTTP/1.1 +20 ", None),
            (b"HTTP/2.0 200 ", None),
            (b"SSH-2.0-OpenS", None),
        ] {
            assert_eq!(status(line), code, "{}", line.escape_ascii());
        }
    }
}
