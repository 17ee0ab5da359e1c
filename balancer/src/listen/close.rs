//! Closes a connection so that the last answer arrives.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Socket;

/// Ends our side and reads what the client still sends, within bounds.
///
/// A close with unread bytes makes the kernel send a reset, at which the client's kernel drops an answer that the client
/// has not read yet (RFC 9112 §9.6).
pub(super) async fn lingering(mut socket: Socket) {
    let read_to_end = async {
        socket.shutdown().await?;
        let (mut buffer, mut left) = (vec![0; 4 * 1024], BYTES_MAX);
        while left > 0 {
            match socket.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Too slow, too much, or gone: the close that follows is all that is left to do.
    let _ = timeout(LINGER, read_to_end).await;
}

/// Answers without having read a request, then closes.
pub(super) async fn with_answer(socket: Socket, status: StatusCode, reason: &str) {
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "Retry-After: 1\r\n" } else { "" };
    let body = format!("{status}: {reason}\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{retry}Connection: close\r\n\r\n{body}",
        body.len()
    );
    // An answer smaller than any socket buffer; a client that does not even take this gets none.
    if socket.try_write(answer.as_bytes()).is_ok() {
        lingering(socket).await;
    }
}

const LINGER: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 1024 * 1024;
