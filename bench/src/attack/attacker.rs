//! One client that is slow on purpose.
//!
//! Decides what it sends, what it takes, and how its connection ended. Called by [`super::mob`]. Never comes again by
//! itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval_at, sleep};

/// In which way it is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A header section, a byte a second
    Header,
    /// A body, a byte a second of a declared length
    Body,
    /// A body that is larger than what is held for it: 1.5 MB at once, and then a byte a second
    Upload,
    /// A large response, of which a few bytes a second are taken through a tiny window
    Read,
    /// One request, and then nothing on a connection that is kept
    Idle,
    /// A target at which workers close the connection, ten times a second
    Close,
}

/// What one needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attacker {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    /// Bytes of the response that [`Kind::Read`] asks for.
    pub(super) response: u64,
}

/// How its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There was none.
    Unconnected,
    /// By an answer with this status, which was to end it.
    Answered(u16),
    /// Without a word, or within a response.
    Closed,
    Reset,
}

impl Kind {
    /// Those of which thousands may come.
    pub(super) const MANY: [Kind; 4] = [Kind::Header, Kind::Body, Kind::Read, Kind::Idle];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Header => "slow header",
            Kind::Body => "slow body",
            Kind::Upload => "slow upload",
            Kind::Read => "slow read",
            Kind::Idle => "idle",
            Kind::Close => "closing target",
        }
    }
}

impl End {
    pub(super) fn name(self) -> String {
        match self {
            End::Unconnected => "no connection".to_owned(),
            End::Answered(status) => status.to_string(),
            End::Closed => "closed".to_owned(),
            End::Reset => "reset".to_owned(),
        }
    }
}

impl Attacker {
    /// Attacks until the other side ends it. What `is_at_it` returns lives as long as the attack.
    pub(super) async fn attack<G>(self, is_at_it: impl FnOnce() -> G) -> End {
        let Ok(mut stream) = self.connect().await else { return End::Unconnected };
        let at_once = if self.kind == Kind::Upload { AT_ONCE } else { 0 };
        let opening = [self.opening().as_bytes(), &vec![b'x'; at_once]].concat();
        if stream.write_all(&opening).await.is_err() {
            return End::Reset;
        }
        let _at_it = is_at_it();
        let ended = match self.kind {
            Kind::Header | Kind::Body | Kind::Upload | Kind::Close => drip(&mut stream).await,
            Kind::Read => sip(&mut stream).await,
            Kind::Idle => silence(&mut stream).await,
        };
        ended.unwrap_or(End::Reset)
    }

    async fn connect(self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.kind == Kind::Read {
            socket.set_recv_buffer_size(WINDOW)?;
            // On the loopback interface a segment has 64 KiB, and the kernel would take the whole response off the proxy.
            setsockopt(&socket, sockopt::TcpMaxSeg, &SEGMENT)?;
        }
        // Not the address of the good clients: what a limit for each address does must not hit these.
        socket.bind((ADDRESS, 0).into())?;
        socket.connect(self.address).await
    }

    fn opening(self) -> String {
        match self.kind {
            Kind::Header => "GET / HTTP/1.1\r\nHost: attack.test\r\nX-Slow: ".to_owned(),
            Kind::Body => format!("POST / HTTP/1.1\r\nHost: attack.test\r\nContent-Length: {DECLARED}\r\n\r\n"),
            Kind::Upload => {
                let length = AT_ONCE as u32 + DECLARED;
                format!("POST / HTTP/1.1\r\nHost: attack.test\r\nContent-Length: {length}\r\n\r\n")
            }
            Kind::Close => "GET /reset HTTP/1.1\r\nHost: attack.test\r\nConnection: close\r\n\r\n".to_owned(),
            Kind::Read => format!("GET /bytes?n={} HTTP/1.1\r\nHost: attack.test\r\n\r\n", self.response),
            Kind::Idle => "GET / HTTP/1.1\r\nHost: attack.test\r\n\r\n".to_owned(),
        }
    }
}

/// A byte a second, until there is an answer and an end.
async fn drip(stream: &mut TcpStream) -> io::Result<End> {
    let mut ticks = interval_at(Instant::now() + BETWEEN_BYTES, BETWEEN_BYTES);
    let mut answer = Vec::new();
    loop {
        tokio::select! {
            biased;
            read = stream.read_buf(&mut answer) => match read {
                Ok(1..) if answer.len() < ANSWER_MAX => {}
                // A reset behind the answer is ours: for the byte that came too late.
                Err(e) if answer.is_empty() => return Err(e),
                _ => return Ok(status(&answer).map_or(End::Closed, End::Answered)),
            },
            _ = ticks.tick() => {
                // A refused write is seen by the next read.
                let _ = stream.write_all(b"x").await;
            }
        }
    }
}

/// Takes the status line, and then a few bytes a second.
async fn sip(stream: &mut TcpStream) -> io::Result<End> {
    let mut line = [0; STATUS_LINE];
    stream.read_exact(&mut line).await?;
    match status(&line) {
        Some(200..300) => {}
        Some(status) => return Ok(End::Answered(status)),
        None => return Ok(End::Closed),
    }
    let mut piece = [0; SIP];
    while stream.read(&mut piece).await? > 0 {
        sleep(BETWEEN_BYTES).await;
    }
    Ok(End::Closed)
}

/// Takes the answer to its request, and then says nothing.
async fn silence(stream: &mut TcpStream) -> io::Result<End> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX && stream.read_buf(&mut answer).await? > 0 {}
    Ok(match status(&answer) {
        Some(200) | None => End::Closed,
        Some(status) => End::Answered(status),
    })
}

/// The status of the answer that begins so.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.get(..STATUS_LINE)?.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Long enough to last for a day.
const DECLARED: u32 = 100_000;
/// More than the balancer holds of a body in memory.
const AT_ONCE: usize = 1_500_000;
const BETWEEN_BYTES: Duration = Duration::from_secs(1);
/// Bytes a second of a response.
const SIP: usize = 8;
/// The least the kernel allows (tcp(7), socket(7): it doubles the figure).
const WINDOW: u32 = 1_152;
/// As over Ethernet.
const SEGMENT: u32 = 1_460;
/// `HTTP/1.1 200`
const STATUS_LINE: usize = 12;
const ANSWER_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_status() {
        assert_eq!(status(b"HTTP/1.1 408 Request Timeout\r\n"), Some(408));
        for broken in [&b""[..], b"HTTP/1.1 40", b"SSH-2.0-OpenSSH_9", b"HTTP/1.1 abc"] {
            assert_eq!(status(broken), None, "{broken:?}");
        }
    }
}
