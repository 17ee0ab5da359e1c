//! Clients beside the load: a connection for each GET, uploads, tunnels, WebSockets, event streams.
//!
//! Decides what each asks for and what counts as served. Called by [`super::soak`]. Never asks twice for what failed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::super::load::PATIENCE;
use super::super::tunnels::{UPGRADE, upgraded};
use super::ledger::{Failed, Ledger, Traffic};
use crate::crowd;
use crate::crowd::summary::end_name;
use crate::crowd::visit::{End, Progress, progress, visit};
use crate::failure::Failure;

/// Clients that go on until they are stopped.
pub(super) struct Clients {
    shared: Arc<Shared>,
    /// They end with this value.
    _clients: crowd::Clients,
}

struct Shared {
    address: SocketAddr,
    stopping: AtomicBool,
    open: AtomicUsize,
    ledger: Mutex<Ledger>,
}

impl Clients {
    /// Of a port of 127.0.0.1.
    pub(super) fn start(port: u16) -> Result<Clients, Failure> {
        let clients = crowd::Clients::start()?;
        let shared = Arc::new(Shared {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            stopping: AtomicBool::new(false),
            open: AtomicUsize::new(EACH.iter().map(|(_, count, _)| count).sum()),
            ledger: Mutex::default(),
        });
        for (traffic, count, pause) in EACH {
            for nth in 0..count {
                // Not all in the same moment.
                let first = pause.mul_f64(nth as f64 / count as f64);
                clients.handle.spawn(Arc::clone(&shared).again_and_again(traffic, nth, first, pause));
            }
        }
        Ok(Clients { shared, _clients: clients })
    }

    /// Nothing more; what is under way is waited for.
    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether all have ended after [`Clients::stop`].
    pub(super) fn have_ended(&self) -> bool {
        self.shared.open.load(Ordering::SeqCst) == 0
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    async fn again_and_again(self: Arc<Self>, traffic: Traffic, mut nth: usize, first: Duration, pause: Duration) {
        sleep(first).await;
        while !self.stopping.load(Ordering::SeqCst) {
            let mut since = Instant::now();
            let served = timeout(PATIENCE, ask(traffic, self.address, nth, &mut since)).await;
            let served = served.unwrap_or_else(|_| Err(io::Error::other("no answer in time")));
            let failed = served.err().map(|e| Failed { traffic, since, until: Instant::now(), why: e.to_string() });
            // Who is refused at once is not to become a flood.
            let pause = if failed.is_some() { pause.max(AFTER_FAILURE) } else { pause };
            self.ledger.lock().unwrap_or_else(PoisonError::into_inner).note(traffic, failed);
            nth += 1;
            sleep(pause).await;
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Asks once; `since` is moved on to the last moment at which all was well.
async fn ask(traffic: Traffic, address: SocketAddr, nth: usize, since: &mut Instant) -> io::Result<()> {
    match traffic {
        // These are the load's.
        Traffic::Get | Traffic::Post => Ok(()),
        Traffic::GetOnce => match visit(address, "/hello", PATIENCE).await {
            End::Answered { status: 200, .. } => Ok(()),
            end => Err(io::Error::other(end_name(end))),
        },
        Traffic::Counted => upload(address, SIZES[nth % SIZES.len()], false).await,
        Traffic::Chunked => upload(address, SIZES[nth % SIZES.len()], true).await,
        Traffic::Tunnel => {
            let mut stream = upgraded(address, UPGRADE).await?;
            converse(&mut stream, |bytes| [bytes.to_vec(), bytes.to_vec()], since).await
        }
        Traffic::WebSocket => {
            let mut stream = upgraded(address, WEBSOCKET).await?;
            let text = |bytes: &[u8]| [frame(bytes, true), frame(bytes, false)];
            converse(&mut stream, text, since).await?;
            stream.write_all(CLOSE).await
        }
        Traffic::Stream => events(address).await,
    }
}

/// A POST of so many bytes, whose worker tells how many came.
async fn upload(address: SocketAddr, length: usize, chunked: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {length}") };
    stream.write_all(format!("POST /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes()).await?;
    let piece = [b'z'; PIECE];
    let mut left = length;
    while left > 0 {
        let size = left.min(PIECE);
        if chunked {
            stream.write_all(&[format!("{size:x}\r\n").as_bytes(), &piece[..size], b"\r\n"].concat()).await?;
        } else {
            stream.write_all(&piece[..size]).await?;
        }
        left -= size;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    let mut bytes = Vec::with_capacity(512);
    let end = loop {
        if stream.read_buf(&mut bytes).await? == 0 || bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Progress::Whole(end) = progress(&bytes, false) {
            break end;
        }
    };
    match end {
        End::Answered { status: 200, .. } if contains(&bytes, format!("\r\n\r\n{length} bytes, ").as_bytes()) => Ok(()),
        end => Err(io::Error::other(format!("{}: {}", end_name(end), body(&bytes)))),
    }
}

/// Messages for some seconds; `sent_and_back` makes of some bytes what goes and what must come.
async fn converse(
    stream: &mut TcpStream,
    sent_and_back: impl Fn(&[u8]) -> [Vec<u8>; 2],
    since: &mut Instant,
) -> io::Result<()> {
    for nth in 0..MESSAGES {
        *since = Instant::now();
        let [sent, wanted] = sent_and_back(&vec![b'm'; LENGTHS[nth % LENGTHS.len()]]);
        stream.write_all(&sent).await?;
        let mut back = vec![0; wanted.len()];
        stream.read_exact(&mut back).await?;
        if back != wanted {
            return Err(io::Error::other("another message came back"));
        }
        sleep(BETWEEN_MESSAGES).await;
    }
    Ok(())
}

/// Twenty events within two seconds, to the end.
async fn events(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /sse?n=20&interval_ms=100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await? > 0 {
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("more than was asked for"));
        }
    }
    if !bytes.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other(body(&bytes)));
    }
    match contains(&bytes, b"data: 20\n\n") && bytes.ends_with(b"\r\n0\r\n\r\n") {
        true => Ok(()),
        false => Err(io::Error::other("the stream was cut")),
    }
}

/// A binary message in one frame (RFC 6455 section 5.2); a client's is masked, here with zeros.
fn frame(bytes: &[u8], masked: bool) -> Vec<u8> {
    let (mask, mut frame) = (if masked { 0x80 } else { 0 }, vec![0x82]);
    match u16::try_from(bytes.len()) {
        Ok(length @ ..126) => frame.push(mask | length as u8),
        length => {
            frame.push(mask | 126);
            frame.extend(length.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend(masked.then_some([0; 4]).iter().flatten());
    frame.extend(bytes);
    frame
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The words of an answer that is not the one wanted; further lines have the request's id, and no two would be alike.
fn body(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split_once("\r\n\r\n").map_or(&*text, |(_, body)| body);
    words.trim().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// How many there are of each, and how long each waits before it asks again.
const EACH: [(Traffic, usize, Duration); 6] = [
    (Traffic::GetOnce, 5, Duration::from_millis(100)),
    (Traffic::Counted, 4, Duration::from_millis(500)),
    (Traffic::Chunked, 4, Duration::from_millis(500)),
    (Traffic::Tunnel, 50, Duration::from_millis(100)),
    (Traffic::WebSocket, 50, Duration::from_millis(100)),
    (Traffic::Stream, 20, Duration::from_millis(100)),
];
/// Bytes of an upload.
const SIZES: [usize; 5] = [1_000, 1_500_000, 64_000, 1, 3_000_000];
const PIECE: usize = 16_384;
/// Of a tunnel, which lives so many times [`BETWEEN_MESSAGES`]: far less than a drain lets it.
const MESSAGES: usize = 8;
const BETWEEN_MESSAGES: Duration = Duration::from_millis(500);
/// Bytes of a message.
const LENGTHS: [usize; 3] = [16, 20_000, 125];
const WEBSOCKET: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// Masked, empty (RFC 6455 section 5.5.1).
const CLOSE: &[u8] = &[0x88, 0x80, 0, 0, 0, 0];
const AFTER_FAILURE: Duration = Duration::from_millis(200);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_length_in_one_byte_or_two_more() {
        assert_eq!(frame(b"ab", false), [0x82, 2, b'a', b'b']);
        assert_eq!(frame(b"ab", true), [0x82, 0x82, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(frame(&[7; 125], true)[..2], [0x82, 0x80 | 125]);
        let long = frame(&[7; 20_000], true);
        assert_eq!((long.len(), &long[..5]), (20_008, &[0x82, 0xfe, 0x4e, 0x20, 0][..]));
    }

    #[test]
    fn the_words_of_a_refusal_are_its_body() {
        assert_eq!(body(b"HTTP/1.1 502 x\r\nA: b\r\n\r\n502: closed_early\nrequest id: 1\n"), "502: closed_early");
        assert_eq!(body(b"cut"), "cut");
    }
}
