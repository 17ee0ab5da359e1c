//! One client: connect, ask, read, leave.
//!
//! Decides what counts as an answer. Called by [`super::send`]; how an answer ends also by `replace`. Never keeps a connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A client that has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// As in [`super::Arrival`].
    pub(crate) path: usize,
    /// Since the request was due.
    pub(crate) latency: Duration,
    /// Since the start of all.
    pub(crate) left: Duration,
    /// How much later than due it set out: our own fault.
    pub(crate) late: Duration,
    pub(crate) end: End,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A whole answer.
    Answered {
        status: u16,
        retry_after: bool,
    },
    Failed(Fault),
}

/// Why there was no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// No connection.
    Unconnected,
    /// The connection ended before the answer did.
    Cut,
    /// What came is no HTTP.
    Rubbish,
    /// The client's patience was over.
    TimedOut,
    /// There were too many clients already.
    NotSent,
    /// What came is the answer to another request.
    Foreign,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Unconnected => "no connection",
            Fault::Cut => "connection cut",
            Fault::Rubbish => "no HTTP",
            Fault::TimedOut => "no answer in time",
            Fault::NotSent => "not sent, too many open",
            Fault::Foreign => "another's answer",
        }
    }
}

impl Visit {
    pub(super) fn over(path: usize, started: Instant, due: Instant, set_out: Instant, end: End) -> Visit {
        let now = Instant::now();
        let [latency, left, late] = [now - due, now - started, set_out.saturating_duration_since(due)];
        Visit { path, latency, left, late, end }
    }

    /// Answered 200.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.end, End::Answered { status: 200, .. })
    }
}

/// Asks for `path` on a new connection.
pub(crate) async fn visit(address: SocketAddr, path: &str, patience: Duration) -> End {
    timeout(patience, ask(address, path)).await.unwrap_or(End::Failed(Fault::TimedOut))
}

async fn ask(address: SocketAddr, path: &str) -> End {
    let Ok(mut stream) = TcpStream::connect(address).await else { return End::Failed(Fault::Unconnected) };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return End::Failed(Fault::Cut);
    }
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(1..) if bytes.len() <= ANSWER_BYTES_MAX => {
                if let Progress::Whole(end) = progress(&bytes, false) {
                    return end;
                }
            }
            Ok(0) => {
                return match progress(&bytes, true) {
                    Progress::Whole(end) => end,
                    Progress::Part => End::Failed(Fault::Cut),
                };
            }
            Ok(_) => return End::Failed(Fault::Rubbish),
            Err(_) => return End::Failed(Fault::Cut),
        }
    }
}

/// How much of an answer is there.
pub(crate) enum Progress {
    Part,
    Whole(End),
}

/// What the bytes so far amount to. An answer without a length lasts until the connection's end.
pub(crate) fn progress(bytes: &[u8], ended: bool) -> Progress {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Progress::Part };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else { return Progress::Whole(End::Failed(Fault::Rubbish)) };
    let (mut retry_after, mut length) = (false, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("retry-after") {
            retry_after = value.trim().parse::<u32>().is_ok();
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let body = bytes.len() - end - 4;
    match length {
        Some(length) if body < length => Progress::Part,
        None if !ended => Progress::Part,
        _ => Progress::Whole(End::Answered { status, retry_after }),
    }
}

const ANSWER_BYTES_MAX: usize = 64 * 1024;
