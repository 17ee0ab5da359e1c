//! Connections that are held open: most have carried one request each and then say nothing.
//!
//! Decides how they are opened and whether they are still open. Called by [`crate::compare`], [`crate::footprint`] and
//! [`crate::replace`]. Never loads anybody with them: they are there to be paid for.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::{events::Events, failure::Failure, load::local, usage::rss_bytes};

/// Held connections, closed with this value.
#[derive(Default)]
pub(crate) struct Held(Vec<TcpStream>);

/// What must come before a connection is held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// Nothing: it waits for its answer.
    Nothing,
    /// The head of a 200.
    Answer,
    /// A 200 with this body.
    Body(&'a [u8]),
    /// A 101, and a message back as it was sent.
    Echo,
}

impl Held {
    /// Opens `count` connections, each with this request, and waits for what it is to bring; [`BATCH`] of them at a time, for one by
    /// one they wait for a core each, and the first are closed as idle before the last are open.
    pub(crate) fn open(
        count: u32,
        port: u16,
        request: &str,
        wanted: Wanted<'_>,
        events: &Events,
    ) -> Result<Held, Failure> {
        let mut held = Vec::new();
        while held.len() < count as usize {
            events.wait_any(&[], Duration::ZERO)?;
            let (done, left) = (held.len(), count as usize - held.len());
            let failed = |nth: usize, e| Failure::system(format!("open idle connection {} of {count}", nth + 1), e);
            for nth in done..done + left.min(BATCH) {
                held.push(ask(port, request.as_bytes()).map_err(|e| failed(nth, e))?);
            }
            for (nth, stream) in held.iter_mut().enumerate().skip(done) {
                wanted.comes(stream).map_err(|e| failed(nth, e))?;
            }
        }
        Ok(Held(held))
    }

    /// Waits until each has what it did not wait for when it was opened.
    pub(crate) fn wait_for(&mut self, wanted: Wanted<'_>, events: &Events) -> Result<(), Failure> {
        for (nth, stream) in self.0.iter_mut().enumerate() {
            events.wait_any(&[], Duration::ZERO)?;
            let failed = |e| Failure::system(format!("read the answer of connection {}", nth + 1), e);
            wanted.comes(stream).map_err(failed)?;
        }
        Ok(())
    }

    /// How many of them still send back what is sent.
    pub(crate) fn echoing(&mut self) -> usize {
        self.0.iter_mut().filter_map(|stream| echo(stream).ok()).count()
    }

    /// How many the other side has closed meanwhile.
    pub(crate) fn closed(&self) -> u64 {
        let is_closed = |stream: &&TcpStream| {
            let waits = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
            stream.set_nonblocking(true).is_ok() && !stream.peek(&mut [0]).is_err_and(|e| waits(&e))
        };
        self.0.iter().filter(is_closed).count() as u64
    }
}

/// A GET of `path`; `fields` are further lines, each ended.
pub(crate) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n")
}

/// What makes a connection a tunnel at `backend` and at the other workers.
pub(crate) fn upgrade() -> String {
    get("/upgrade?proto=websocket", "Upgrade: websocket\r\nConnection: upgrade\r\n")
}

/// The resident memory of a process tree once it has stopped changing, bytes.
pub(crate) fn settled_rss(pid: u32, events: &Events) -> Result<u64, Failure> {
    settled(events, || rss_bytes(pid))
}

/// What `look` sees once it has stopped changing, or after [`SETTLE_TIME`].
pub(crate) fn settled(events: &Events, look: impl Fn() -> Result<u64, Failure>) -> Result<u64, Failure> {
    let until = Instant::now() + SETTLE_TIME;
    let (mut last, mut same) = (look()?, 0);
    while same < SAME && Instant::now() < until {
        events.wait_any(&[], BETWEEN_LOOKS)?;
        let now = look()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn ask(port: u16, request: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&local(port), TIME)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.write_all(request)?;
    Ok(stream)
}

impl Wanted<'_> {
    fn comes(self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Wanted::Nothing => Ok(()),
            Wanted::Answer => answered(stream, "HTTP/1.1 200 ", None),
            Wanted::Body(body) => answered(stream, "HTTP/1.1 200 ", Some(body)),
            Wanted::Echo => answered(stream, "HTTP/1.1 101 ", None).and_then(|()| echo(stream)),
        }
    }
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(MESSAGE)?;
    let mut back = [0; MESSAGE.len()];
    stream.read_exact(&mut back)?;
    if back == *MESSAGE { Ok(()) } else { Err(io::Error::other("sent something else back")) }
}

fn answered(stream: &mut TcpStream, line: &str, body: Option<&[u8]>) -> io::Result<()> {
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before it was answered")),
            length => received.extend_from_slice(&piece[..length]),
        }
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n")
            && received.len() >= end + 4 + body.map_or(0, <[u8]>::len)
        {
            if received.starts_with(line.as_bytes()) && body.is_none_or(|body| received[end + 4..] == *body) {
                return Ok(());
            }
            let line = String::from_utf8_lossy(received.split(|byte| *byte == b'\r').next().unwrap_or_default());
            return Err(io::Error::other(format!("answered {line:?}")));
        }
    }
}

/// Connections that are opened at once.
pub(crate) const BATCH: usize = 64;
const MESSAGE: &[u8; 16] = b"are you there? \n";
const TIME: Duration = Duration::from_secs(10);
const SETTLE_TIME: Duration = Duration::from_secs(8);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Looks in a row that must agree: allocators give back after a second or more.
const SAME: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A listener that answers each connection's request with this, and keeps it.
    fn origin(connections: usize, answer: &'static str) -> (u16, thread::JoinHandle<Vec<TcpStream>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = move |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            stream
        };
        (port, thread::spawn(move || (0..connections).map(accepted).collect()))
    }

    #[test]
    fn connections_are_held_and_a_closed_one_is_noticed() {
        let (port, origin) = origin(3, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        let held = Held::open(3, port, &get("/", ""), Wanted::Body(b"hi"), &Events::default()).unwrap();
        let mut streams = origin.join().unwrap();
        assert_eq!(held.closed(), 0);
        drop(streams.pop());
        while held.closed() != 1 {}
    }

    #[test]
    fn a_connection_is_held_before_its_answer_and_a_tunnel_with_its_echo() {
        let events = Events::default();
        let (port, waited) = origin(1, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        let mut waiting = Held::open(1, port, &get("/", ""), Wanted::Nothing, &events).unwrap();
        waiting.wait_for(Wanted::Answer, &events).unwrap();
        drop(waited.join().unwrap());
        let (port, tunnel) = origin(1, "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\n\r\n");
        let echo = thread::spawn(move || {
            let mut stream = tunnel.join().unwrap().remove(0);
            let mut bytes = [0; 2 * MESSAGE.len()];
            for piece in bytes.chunks_mut(MESSAGE.len()) {
                stream.read_exact(piece).unwrap();
                stream.write_all(piece).unwrap();
            }
        });
        let mut held = Held::open(1, port, &upgrade(), Wanted::Echo, &events).unwrap();
        assert_eq!(held.echoing(), 1);
        echo.join().unwrap();
        assert_eq!(held.echoing(), 0, "it is closed");
    }

    #[test]
    fn a_refusal_is_told_with_its_number() {
        let (port, origin) = origin(1, "HTTP/1.1 503 Full\r\ncontent-length: 2\r\n\r\nno");
        let wanted = Wanted::Body(b"hi");
        let failure = Held::open(1, port, &get("/", ""), wanted, &Events::default()).map(drop).unwrap_err().to_string();
        assert_eq!(failure, "cannot open idle connection 1 of 1: answered \"HTTP/1.1 503 Full\"");
        drop(origin.join().unwrap());
    }
}
