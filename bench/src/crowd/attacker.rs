//! One client that is slow on purpose.
//!
//! Decides what it sends, what it takes, and how its connection ended. Called by [`super::attack`], as a visitor that comes
//! again. Never uses the address of the good clients: what a limit for each address does must not hit these.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{collections::BTreeSet, io, time::Duration};

use clap::ValueEnum;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval_at, sleep};

use crate::load::answer::{End, Fault};
use crate::load::{Told, Turn, Visitor};

/// In which way it is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

/// All attackers of one kind.
#[derive(Clone, Debug)]
pub(super) struct Attacker {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    /// Bytes of the response that [`Kind::Read`] asks for.
    pub(super) response: u64,
    pub(super) mob: Arc<Mob>,
}

/// Who is at it.
#[derive(Debug, Default)]
pub(super) struct Mob {
    /// How many are now.
    pub(super) open: AtomicUsize,
    come: Mutex<BTreeSet<u32>>,
}

impl Mob {
    /// How many have been at it at least once.
    pub(super) fn come(&self) -> usize {
        self.come.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Visitor for Attacker {
    /// Attacks until the other side ends it.
    async fn visit(&self, turn: Turn, _: &mut Option<TcpStream>) -> Told {
        let Ok(mut stream) = self.connect().await else { return End::Failed(Fault::Unconnected).into() };
        let at_once = if self.kind == Kind::Upload { AT_ONCE } else { 0 };
        let opening = [self.opening().as_bytes(), &vec![b'x'; at_once]].concat();
        if stream.write_all(&opening).await.is_err() {
            return End::Failed(Fault::Reset).into();
        }
        self.mob.come.lock().unwrap_or_else(PoisonError::into_inner).insert(turn.client);
        self.mob.open.fetch_add(1, Ordering::Relaxed);
        let ended = match self.kind {
            Kind::Header | Kind::Body | Kind::Upload | Kind::Close => drip(&mut stream).await,
            Kind::Read => sip(&mut stream).await,
            Kind::Idle => silence(&mut stream).await,
        };
        self.mob.open.fetch_sub(1, Ordering::Relaxed);
        ended.unwrap_or(End::Failed(Fault::Reset)).into()
    }
}

impl Attacker {
    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.kind == Kind::Read {
            socket.set_recv_buffer_size(WINDOW)?;
            // On the loopback interface a segment has 64 KiB, and the kernel would take the whole response off the proxy.
            setsockopt(&socket, sockopt::TcpMaxSeg, &SEGMENT)?;
        }
        socket.bind((ADDRESS, 0).into())?;
        socket.connect(self.address).await
    }

    fn opening(&self) -> String {
        let post = |length| format!("POST / HTTP/1.1\r\nHost: attack.test\r\nContent-Length: {length}\r\n\r\n");
        match self.kind {
            Kind::Header => "GET / HTTP/1.1\r\nHost: attack.test\r\nX-Slow: ".to_owned(),
            Kind::Body => post(DECLARED),
            Kind::Upload => post(AT_ONCE + DECLARED),
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
                _ => return Ok(end(&answer)),
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
    match end(&line) {
        End::Answered { status: 200..300, .. } => {}
        ended => return Ok(ended),
    }
    let mut piece = [0; SIP];
    while stream.read(&mut piece).await? > 0 {
        sleep(BETWEEN_BYTES).await;
    }
    Ok(End::Failed(Fault::Cut))
}

/// Takes the answer to its request, and then says nothing.
async fn silence(stream: &mut TcpStream) -> io::Result<End> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX && stream.read_buf(&mut answer).await? > 0 {}
    Ok(match end(&answer) {
        End::Answered { status: 200, .. } => End::Failed(Fault::Cut),
        ended => ended,
    })
}

/// The answer that begins so, which was to end it; else it was closed without a word.
fn end(answer: &[u8]) -> End {
    let line = answer.get(..STATUS_LINE).and_then(|line| line.strip_prefix(b"HTTP/1."));
    let status = line.and_then(|line| std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok());
    status.map_or(End::Failed(Fault::Cut), |status| End::Answered { status, retry_after: false })
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Long enough to last for a day.
const DECLARED: usize = 100_000;
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::crowd::attack::gather;

    #[test]
    fn whoever_is_cut_is_counted_and_comes_again() {
        for (kind, answer, opening, end) in [
            (Kind::Header, "HTTP/1.1 408 x\r\nContent-Length: 0\r\n\r\n", "X-Slow: ", "408"),
            (Kind::Body, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n", "Content-Length: 100000\r\n\r\n", "413"),
            (Kind::Read, "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", "GET /bytes?n=77 HTTP/1.1\r\n", "503"),
            (Kind::Idle, "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\n", "connection cut"),
        ] {
            // A server that takes what comes, answers and closes; what it got is told for each connection.
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let (sender, heard) = mpsc::channel();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (mut stream, mut bytes) = (stream.unwrap(), [0; 1024]);
                    let length = stream.read(&mut bytes).unwrap();
                    let _ = stream.write_all(answer.as_bytes());
                    if sender.send(String::from_utf8_lossy(&bytes[..length]).into_owned()).is_err() {
                        return;
                    }
                }
            });
            let mob = Arc::<Mob>::default();
            let load = gather(&Attacker { kind, address, response: 77, mob: Arc::clone(&mob) }, 2).unwrap();
            // Each of the two at least twice, as the others' pause is long.
            for _ in 0..5 {
                let text = heard.recv_timeout(Duration::from_secs(20)).unwrap();
                assert!(text.contains(opening), "{kind:?}: {text:?}");
            }
            while load.sent().len() < 2 {
                thread::yield_now();
            }
            assert!(load.sent().iter().all(|one| one.end.name() == end), "{kind:?}: {:?}", load.sent());
            assert_eq!(mob.come(), 2, "{kind:?}");
        }
    }

    #[test]
    fn an_answer_is_known_by_its_status() {
        assert_eq!(end(b"HTTP/1.1 408 Request Timeout\r\n").name(), "408");
        for broken in [&b""[..], b"HTTP/1.1 40", b"SSH-2.0-OpenSSH_9", b"HTTP/1.1 abc"] {
            assert_eq!(end(broken), End::Failed(Fault::Cut), "{broken:?}");
        }
    }
}
