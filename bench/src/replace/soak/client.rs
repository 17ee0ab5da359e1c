//! Clients beside the load: a connection for each GET, uploads, tunnels, WebSockets, event streams.
//!
//! Decides what each asks for and what counts as served. Called by [`super::soak`], which starts a load of each kind. Never
//! asks twice for what failed.

use std::time::{Duration, Instant};
use std::{io, net::SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::{net::TcpStream, time::sleep};

use super::super::ask::PATIENCE;
use crate::load::answer::{End, Fault, answer, exchange, said};
use crate::load::{Clients, Load, Pace, Plan, Told, Turn, Visitor, local};
use crate::{failure::Failure, held::upgrade};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Traffic {
    /// Of the load, most on connections that are kept.
    Get,
    Post,
    /// A connection each.
    GetOnce,
    Counted,
    Chunked,
    Tunnel,
    WebSocket,
    Stream,
}

impl Traffic {
    pub(super) const ALL: [Traffic; 8] = [
        Traffic::Get,
        Traffic::Post,
        Traffic::GetOnce,
        Traffic::Counted,
        Traffic::Chunked,
        Traffic::Tunnel,
        Traffic::WebSocket,
        Traffic::Stream,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Traffic::Get => "GETs, connections kept",
            Traffic::Post => "POSTs, connections kept",
            Traffic::GetOnce => "GETs, a connection each",
            Traffic::Counted => "uploads, counted",
            Traffic::Chunked => "uploads, chunked",
            Traffic::Tunnel => "tunnels",
            Traffic::WebSocket => "WebSockets",
            Traffic::Stream => "event streams",
        }
    }

    /// What has left for a worker may not be asked again, and what has begun to come cannot; a GET can be (RFC 9110 section
    /// 9.2.2).
    pub(super) fn is_cut_by_a_kill(self) -> bool {
        !matches!(self, Traffic::Get | Traffic::GetOnce)
    }
}

/// Starts the clients of each kind, which go on until they are stopped.
pub(super) fn start(port: u16) -> Result<Vec<(Traffic, Load)>, Failure> {
    let load = |(traffic, count, pause): (Traffic, u32, Duration)| {
        // Not all in the same moment; and who is refused at once is not to become a flood.
        let pace = Pace::Again { pause, after_failure: AFTER_FAILURE, between: pause / count };
        let plan = Plan { pace, clients: Clients::Kept(count), patience: PATIENCE };
        Ok((traffic, Load::start(plan, Client { traffic, address: local(port) })?))
    };
    EACH.into_iter().map(load).collect()
}

struct Client {
    traffic: Traffic,
    address: SocketAddr,
}

impl Visitor for Client {
    async fn visit(&self, turn: Turn, _: &mut Option<TcpStream>) -> Told {
        let mut well = None;
        let served = self.ask(usize::try_from(turn.number).unwrap_or_default(), &mut well).await;
        let (end, said) = match served {
            Ok(()) => (End::Answered { status: 200, retry_after: false }, None),
            Err(e) => (End::Failed(Fault::Cut), Some(e.to_string())),
        };
        Told { end, said, well }
    }
}

impl Client {
    /// `well` is moved on to the last moment at which all was well.
    async fn ask(&self, nth: usize, well: &mut Option<Instant>) -> io::Result<()> {
        match self.traffic {
            // These are the load's.
            Traffic::Get | Traffic::Post => Ok(()),
            Traffic::GetOnce => {
                let request = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                let (end, bytes) = exchange(self.address, &mut None, request, false).await;
                if end.is_served() { Ok(()) } else { Err(refused(end, &bytes)) }
            }
            Traffic::Counted => self.upload(SIZES[nth % SIZES.len()], false).await,
            Traffic::Chunked => self.upload(SIZES[nth % SIZES.len()], true).await,
            Traffic::Tunnel => {
                let mut stream = self.upgraded(&upgrade()).await?;
                converse(&mut stream, |bytes| [bytes.to_vec(), bytes.to_vec()], well).await
            }
            Traffic::WebSocket => {
                let mut stream = self.upgraded(WEBSOCKET).await?;
                converse(&mut stream, |bytes| [frame(bytes, true), frame(bytes, false)], well).await?;
                stream.write_all(CLOSE).await
            }
            Traffic::Stream => self.events().await,
        }
    }

    /// A POST of so many bytes, whose worker tells how many came.
    async fn upload(&self, length: usize, chunked: bool) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        let framing =
            if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {length}") };
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
        let end = answer(&mut stream, &mut bytes).await;
        if end.is_served() && said(&bytes).starts_with(&format!("{length} bytes, ")) {
            return Ok(());
        }
        Err(refused(end, &bytes))
    }

    /// A connection behind its 101.
    async fn upgraded(&self, request: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if head.starts_with(b"HTTP/1.1 101 ") {
            return Ok(stream);
        }
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
        Err(io::Error::other(line))
    }

    /// Twenty events within two seconds, to the end.
    async fn events(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(b"GET /sse?n=20&interval_ms=100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        let mut bytes = Vec::new();
        while stream.read_buf(&mut bytes).await? > 0 {
            if bytes.len() > EVENTS_BYTES_MAX {
                return Err(io::Error::other("more than was asked for"));
            }
        }
        if !bytes.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other(said(&bytes)));
        }
        let has_all = bytes.windows(10).any(|ten| ten == b"data: 20\n\n") && bytes.ends_with(b"\r\n0\r\n\r\n");
        if has_all { Ok(()) } else { Err(io::Error::other("the stream was cut")) }
    }
}

fn refused(end: End, bytes: &[u8]) -> io::Error {
    io::Error::other(format!("{}: {}", end.name(), said(bytes)))
}

/// Messages for some seconds; `sent_and_back` makes of some bytes what goes and what must come.
async fn converse(
    stream: &mut TcpStream,
    sent_and_back: impl Fn(&[u8]) -> [Vec<u8>; 2],
    well: &mut Option<Instant>,
) -> io::Result<()> {
    for nth in 0..MESSAGES {
        *well = Some(Instant::now());
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

/// How many there are of each, and how long each waits before it asks again.
const EACH: [(Traffic, u32, Duration); 6] = [
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
const EVENTS_BYTES_MAX: usize = 64 * 1024;

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
}
