//! WebSocket echo (RFC 6455).
//!
//! Decides the opening answer, what is echoed, and with which code it ends. Called by the route `/ws` and, after its 101, by
//! `connection`. Never holds more than one message, nor one over 1 MiB.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::body::Body;
use crate::socket::Socket;

/// The 101, or another status that says why there is none (RFC 6455 section 4.2).
pub(crate) fn open<B>(request: &Request<B>) -> Response<Body> {
    let fields = request.headers();
    if !lists(fields, header::UPGRADE, "websocket") || !lists(fields, header::CONNECTION, "upgrade") {
        let why = "this is a WebSocket\n";
        return answer(StatusCode::UPGRADE_REQUIRED, why, [UPGRADE_WEBSOCKET, CONNECTION_UPGRADE]);
    }
    if fields.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let version = (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return answer(StatusCode::UPGRADE_REQUIRED, "version 13 is spoken here\n", [version]);
    }
    let key = fields.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_CHARS);
    let accept = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    match accept {
        Some(accept) if request.method() == Method::GET && request.version() == Version::HTTP_11 => {
            let accept = (header::SEC_WEBSOCKET_ACCEPT, accept);
            answer(StatusCode::SWITCHING_PROTOCOLS, "", [UPGRADE_WEBSOCKET, CONNECTION_UPGRADE, accept])
        }
        _ => answer(StatusCode::BAD_REQUEST, "a GET with a Sec-WebSocket-Key of 16 bytes is needed\n", []),
    }
}

/// Whether a comma-separated field lists `word`, in any case.
pub(crate) fn lists(fields: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = fields.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// Sends every message back until one side closes; a drain closes with 1001, a fault of the client's with its code.
pub(crate) async fn echo<S: Socket>(
    socket: S,
    read_ahead: Bytes,
    ping: Option<Duration>,
    mut drain: watch::Receiver<bool>,
) -> io::Result<()> {
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let mut websocket =
        WebSocketStream::from_partially_read(socket, read_ahead.into(), Role::Server, Some(limits)).await;
    if let Some(code) = exchange(&mut websocket, ping, &mut drain).await {
        let frame = CloseFrame { code, reason: "".into() };
        // Its answer is waited for, as section 7.1.1 asks, but not for ever.
        let _ = timeout(CLOSE_TIME_MAX, async {
            websocket.close(Some(frame)).await?;
            while websocket.next().await.transpose()?.is_some() {}
            Ok::<(), Error>(())
        })
        .await;
    }
    websocket.into_inner().shutdown().await
}

/// Echoes until the end; `None` if the closing handshake is over or nobody is left, else the code to close with.
async fn exchange<S: Socket>(
    websocket: &mut WebSocketStream<S>,
    ping: Option<Duration>,
    drain: &mut watch::Receiver<bool>,
) -> Option<CloseCode> {
    let period = ping.unwrap_or(PING_MAX);
    let mut pings = interval_at(Instant::now() + period, period);
    let mut answered = true;
    loop {
        let message = tokio::select! {
            message = websocket.next() => message,
            () = async { drop(drain.wait_for(|draining| *draining).await) } => return Some(CloseCode::Away),
            _ = pings.tick(), if ping.is_some() => {
                if !std::mem::replace(&mut answered, false) {
                    return Some(CloseCode::Policy);
                }
                websocket.send(Message::Ping(Bytes::new())).await.ok()?;
                continue;
            }
        };
        let reply = match message {
            Some(Ok(Message::Pong(_))) => {
                answered = true;
                continue;
            }
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message,
            // The library answers pings and closes itself, while it reads on.
            Some(Ok(_)) => continue,
            Some(Err(Error::Capacity(_))) => return Some(CloseCode::Size),
            Some(Err(Error::Utf8(_))) => return Some(CloseCode::Invalid),
            Some(Err(Error::Protocol(_))) => return Some(CloseCode::Protocol),
            Some(Err(_)) | None => return None,
        };
        websocket.send(reply).await.ok()?;
    }
}

fn answer<const N: usize>(
    status: StatusCode,
    why: &'static str,
    fields: [(HeaderName, HeaderValue); N],
) -> Response<Body> {
    let mut response = Response::new(Body::whole(why));
    *response.status_mut() = status;
    response.headers_mut().extend(fields);
    response
}

const UPGRADE_WEBSOCKET: (HeaderName, HeaderValue) = (header::UPGRADE, HeaderValue::from_static("websocket"));
const CONNECTION_UPGRADE: (HeaderName, HeaderValue) = (header::CONNECTION, HeaderValue::from_static("upgrade"));
const MESSAGE_MAX: usize = 1024 * 1024;
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);
const PING_MAX: Duration = Duration::from_secs(3600);
/// 16 bytes in base64.
const KEY_CHARS: usize = 24;
