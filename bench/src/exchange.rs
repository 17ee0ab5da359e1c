//! One HTTP request and its answer, to see whether a target is up and answers the same as the origin.
//!
//! Decides what counts as an answer. Called by [`crate::service`] and [`crate::compare`], never while something is measured.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{os::unix::net::UnixStream, path::PathBuf};

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// On 127.0.0.1.
    Port(u16),
    Socket(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Port(port) => write!(f, "port {port}"),
            Endpoint::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
        write!(f, "{} {start:?}", self.status)
    }
}

/// Sends a GET as ab does (HTTP/1.0, so the body is not chunked and the connection ends) and reads the answer.
pub(crate) fn get(endpoint: &Endpoint, path: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n");
    let bytes = match endpoint {
        Endpoint::Port(port) => {
            let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), TIME)?;
            stream.set_write_timeout(Some(TIME))?;
            exchange(stream, &request, TcpStream::set_read_timeout)?
        }
        Endpoint::Socket(file) => {
            let stream = UnixStream::connect(file)?;
            stream.set_write_timeout(Some(TIME))?;
            exchange(stream, &request, UnixStream::set_read_timeout)?
        }
    };
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP, or cut"))
}

fn exchange<S: Read + Write>(
    mut stream: S,
    request: &str,
    set_read_timeout: fn(&S, Option<Duration>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let (until, mut bytes, mut piece) = (Instant::now() + TIME, Vec::new(), [0; 16_384]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no end of the answer"));
        }
        set_read_timeout(&stream, Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

/// What is asked for where nothing else is said: eleven bytes.
pub(crate) const PATH: &str = "/hello";

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = bytes[end + 4..].to_vec();
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match length {
        Some((_, length)) if length.trim().parse() != Ok(body.len()) => None,
        _ => Some(Answer { status, body }),
    }
}

const TIME: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 1 << 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_status_and_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(parse(bytes), Some(Answer { status: 200, body: b"hello".to_vec() }));
    }

    #[test]
    fn a_cut_answer_is_none() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Le"), None);
        assert_eq!(parse(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
        assert_eq!(parse(b""), None);
    }
}
