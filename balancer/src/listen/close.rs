//! Closes a connection so that the last answer arrives.

use std::future::poll_fn;
use std::time::Duration;

use http::StatusCode;

use super::refusal::Refusal;
use crate::net::{Buffer, Socket, timeout};

/// Ends our side and reads what the client still sends, within bounds.
///
/// A close with unread bytes makes the kernel send a reset, at which the client's kernel drops an answer that the client
/// has not read yet (RFC 9112 §9.6).
pub(super) async fn lingering(socket: Socket) {
    within(LINGER, socket).await;
}

async fn within(limit: Duration, mut socket: Socket) {
    let read_to_end = async {
        poll_fn(|cx| socket.poll_shut_down(cx)).await;
        let mut left = BYTES_MAX;
        while left > 0 {
            match read(&mut socket).await {
                0 => break,
                length => left = left.saturating_sub(length),
            }
        }
    };
    // Too slow, too much, or gone: the close that follows is all that is left to do.
    let _ = timeout(limit, read_to_end).await;
}

/// Closes an encrypted connection behind the word that nothing follows, for which a client that reads slowly has to make room: without it,
/// the client could not know that it has everything.
pub(super) async fn with_goodbye(mut socket: Socket, limit: Duration) {
    let _ = timeout(limit, poll_fn(|cx| socket.poll_goodbye(cx))).await;
}

/// Answers without a request that could be answered, then closes. `id` is the one in the log.
pub(super) async fn with_answer(mut socket: Socket, refusal: Refusal, id: String) {
    if answer(&mut socket, refusal, &id).await {
        lingering(socket).await;
    }
}

/// The same when others wait for the place: with less patience for a client that reads slowly.
pub(super) async fn soon_with_answer(mut socket: Socket, refusal: Refusal, id: String) {
    // Answered when its request has been read: who waited in the queue has sent it, and then the close resets nothing.
    let _ = timeout(SOON, read(&mut socket)).await;
    if answer(&mut socket, refusal, &id).await {
        within(SOON, socket).await;
    }
}

/// Says it, as far as the client's kernel takes it.
async fn answer(socket: &mut Socket, refusal: Refusal, id: &str) -> bool {
    if socket.greets() {
        // Who waits for a handshake takes an answer for nonsense.
        return false;
    }
    let status = refusal.status();
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "Retry-After: 1\r\n" } else { "" };
    let body = match refusal {
        Refusal::PlainOnTls => format!("{}{}", text(status, refusal.reason(), id), PLAIN_ON_TLS),
        _ => text(status, refusal.reason(), id),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         X-Request-Id: {id}\r\n{retry}Connection: close\r\n\r\n{body}",
        body.len()
    );
    // Smaller than any socket buffer; a client that does not even take this gets none.
    let mut rest = answer.as_bytes();
    let written = async {
        while !rest.is_empty() {
            match poll_fn(|cx| socket.poll_write(cx, rest)).await {
                Ok(length) => rest = &rest[length..],
                Err(_) => return false,
            }
        }
        true
    };
    timeout(SOON, written).await.unwrap_or(false)
}

/// Reads and drops what has come; 0 at the end.
async fn read(socket: &mut Socket) -> usize {
    // Of the thread's pool while something is read, and none while nothing comes.
    poll_fn(|cx| socket.poll_read(cx, &mut Buffer::default())).await.unwrap_or(0)
}

/// The body of an answer of ours: what happened, in words, and the id under which the log has it.
pub fn text(status: StatusCode, reason: &str, id: &str) -> String {
    format!("{status}: {reason}\nrequest id: {id}\n")
}

/// For whoever has typed the wrong address.
const PLAIN_ON_TLS: &str = "this port speaks TLS: ask for https://, not for http://\n";
const LINGER: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(100);
const BYTES_MAX: usize = 1024 * 1024;
