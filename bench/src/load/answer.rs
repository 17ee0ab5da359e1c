//! What becomes of a request.
//!
//! Decides what counts as a whole answer, and what a fault is called. Called by [`super`] and by all who ask. Never keeps a
//! connection on which an answer was cut.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::statistics::whole;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// A whole answer.
    Answered {
        status: u16,
        retry_after: bool,
    },
    Failed(Fault),
}

/// Why there was no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// No connection.
    Unconnected,
    /// The connection ended before the answer did.
    Cut,
    /// The connection was reset.
    Reset,
    /// What came is no HTTP, or far more than was asked for.
    Rubbish,
    /// The client's patience was over.
    TimedOut,
    /// There were too many clients already.
    NotSent,
    /// What came is the answer to another request, or another message.
    Foreign,
}

impl End {
    /// Answered 200.
    pub(crate) fn is_served(self) -> bool {
        matches!(self, End::Answered { status: 200, .. })
    }

    /// "200", "connection cut".
    pub(crate) fn name(self) -> String {
        let fault = match self {
            End::Answered { status, .. } => return status.to_string(),
            End::Failed(fault) => fault,
        };
        let name = match fault {
            Fault::Unconnected => "no connection",
            Fault::Cut => "connection cut",
            Fault::Reset => "connection reset",
            Fault::Rubbish => "no HTTP",
            Fault::TimedOut => "no answer in time",
            Fault::NotSent => "not sent, too many open",
            Fault::Foreign => "another's answer",
        };
        name.to_owned()
    }
}

/// How often each end came: "3,066 × 200, 2 × no connection".
pub(crate) fn ends_text(ends: impl IntoIterator<Item = End>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    ends.into_iter().for_each(|end| *counts.entry(end.name()).or_default() += 1);
    let text: Vec<String> = counts.iter().map(|(name, count)| format!("{} × {name}", whole(*count as f64))).collect();
    if text.is_empty() { "none".to_owned() } else { text.join(", ") }
}

/// Sends `request` over the connection that is kept, or a new one, and reads the answer; what was read is in the second value. The
/// connection is kept where the answer was whole and `keep` says so.
pub(crate) async fn exchange(
    address: SocketAddr,
    kept: &mut Option<TcpStream>,
    request: &[u8],
    keep: bool,
) -> (End, Vec<u8>) {
    let mut bytes = Vec::with_capacity(512);
    // Closing an idle connection is anybody's right, and no request is lost by it.
    let left = kept.take().filter(|stream| stream.try_read(&mut [0]).is_err_and(|e| e.kind() == WOULD_BLOCK));
    let mut stream = match left {
        Some(stream) => stream,
        None => match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(_) => return (End::Failed(Fault::Unconnected), bytes),
        },
    };
    if keep || request.len() > SMALL {
        // Not set, a large body would wait for an acknowledgement. That it cannot be set is no fault of the other side's.
        let _ = stream.set_nodelay(true);
    }
    if stream.write_all(request).await.is_err() {
        return (End::Failed(Fault::Cut), bytes);
    }
    let end = answer(&mut stream, &mut bytes).await;
    if keep && matches!(end, End::Answered { .. }) {
        *kept = Some(stream);
    }
    (end, bytes)
}

/// Reads one answer to its end, behind what is in `bytes` already.
pub(crate) async fn answer(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> End {
    loop {
        match stream.read_buf(bytes).await {
            Ok(0) => return progress(bytes, true).unwrap_or(End::Failed(Fault::Cut)),
            Err(_) => return End::Failed(Fault::Cut),
            Ok(_) if bytes.len() > ANSWER_BYTES_MAX => return End::Failed(Fault::Rubbish),
            Ok(_) => {}
        }
        if let Some(end) = progress(bytes, false) {
            return end;
        }
    }
}

/// What the bytes so far amount to; `None`: a part. An answer without a length lasts until the connection's end.
fn progress(bytes: &[u8], ended: bool) -> Option<End> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else { return Some(End::Failed(Fault::Rubbish)) };
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
        Some(length) if body < length => None,
        None if !ended => None,
        _ => Some(End::Answered { status, retry_after }),
    }
}

/// The first line of a body, without what is behind it: further lines have a request's id, and no two would be alike.
pub(crate) fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split_once("\r\n\r\n").map_or(&*text, |(_, body)| body);
    words.trim().lines().next().unwrap_or_default().chars().take(200).collect()
}

const WOULD_BLOCK: std::io::ErrorKind = std::io::ErrorKind::WouldBlock;
/// Bytes that go in one segment.
const SMALL: usize = 1_000;
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_last_byte() {
        let whole = b"HTTP/1.1 503 No\r\nRetry-After: 3\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(progress(whole, false), Some(End::Answered { status: 503, retry_after: true }));
        assert_eq!(progress(&whole[..whole.len() - 1], true), None);
        let unframed = b"HTTP/1.1 200 OK\r\n\r\nhi";
        assert_eq!((progress(unframed, false), progress(unframed, true).is_some()), (None, true));
        assert_eq!(progress(b"SSH-2.0-x\r\n\r\n", false), Some(End::Failed(Fault::Rubbish)));
    }

    #[test]
    fn ends_are_counted_by_name_and_a_refusal_is_its_first_line() {
        let ends = [End::Answered { status: 200, retry_after: false }; 3];
        assert_eq!(ends_text(ends.into_iter().chain([End::Failed(Fault::Cut)])), "3 × 200, 1 × connection cut");
        assert_eq!(said(b"HTTP/1.1 502 x\r\nA: b\r\n\r\n502: closed_early\nrequest id: 1\n"), "502: closed_early");
    }
}
