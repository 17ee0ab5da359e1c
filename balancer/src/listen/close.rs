//! Closes a connection so that the last answer arrives.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Refusal, Socket};

/// Ends our side and reads what the client still sends, within bounds.
///
/// A close with unread bytes makes the kernel send a reset, at which the client's kernel drops an answer that the client
/// has not read yet (RFC 9112 §9.6).
pub(super) async fn lingering(socket: Socket) {
    within(LINGER, socket).await;
}

async fn within(limit: Duration, mut socket: Socket) {
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
    let _ = timeout(limit, read_to_end).await;
}

/// Answers without a request that could be answered, then closes. `id` is the one in the log.
pub(super) async fn with_answer(mut socket: Socket, refusal: Refusal, id: HeaderValue) {
    if answer(&mut socket, refusal, &id).await {
        lingering(socket).await;
    }
}

/// The same when others wait for the place: with less patience for a client that reads slowly.
pub(super) async fn soon_with_answer(mut socket: Socket, refusal: Refusal, id: HeaderValue) {
    // Answered when its request has been read: who waited in the queue has sent it, and then the close resets nothing.
    let mut buffer = vec![0; 4 * 1024];
    let _ = timeout(SOON, socket.read(&mut buffer)).await;
    if answer(&mut socket, refusal, &id).await {
        within(SOON, socket).await;
    }
}

/// Says it, as far as the client's kernel takes it.
async fn answer(socket: &mut Socket, refusal: Refusal, id: &HeaderValue) -> bool {
    let (status, id) = (refusal.status(), id.to_str().unwrap_or_default());
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "Retry-After: 1\r\n" } else { "" };
    let body = text(status, refusal.reason(), id);
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         X-Request-Id: {id}\r\n{retry}Connection: close\r\n\r\n{body}",
        body.len()
    );
    // Smaller than any socket buffer; a client that does not even take this gets none.
    matches!(timeout(SOON, socket.write_all(answer.as_bytes())).await, Ok(Ok(())))
}

/// The body of an answer of ours: what happened, in words, and the id under which the log has it.
pub fn text(status: StatusCode, reason: &str, id: &str) -> String {
    format!("{status}: {reason}\nrequest id: {id}\n")
}

const LINGER: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(100);
const BYTES_MAX: usize = 1024 * 1024;
