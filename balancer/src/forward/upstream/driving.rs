//! A connection that speaks HTTP/2 to an endpoint, from its first settings to its end.
//!
//! Decides when its peer gives no sign of life. Called by [`super::shared`], a task for each connection. Never looks at a request.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};

use crate::net::{Activity, Io, sleep};

/// Waits until the endpoint has shown that it speaks HTTP/2: behind its settings, which say how many streams it takes, it answers a PING.
pub(super) async fn hear(
    connection: &mut Connection<Io, Bytes>,
    mut pings: Option<&mut PingPong>,
) -> Result<(), h2::Error> {
    if let Some(pings) = &mut pings {
        pings.send_ping(Ping::opaque())?;
    }
    poll_fn(|cx| {
        if let Poll::Ready(ended) = std::pin::Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(ended.and(Err(h2::Reason::NO_ERROR.into())));
        }
        match &mut pings {
            Some(pings) => pings.poll_pong(cx).map(|pong| pong.map(drop)),
            None => Poll::Ready(Ok(())),
        }
    })
    .await
}

/// Reads and writes for all streams, until the connection has ended or its peer gives no sign of life.
pub(super) async fn drive(
    mut connection: Connection<Io, Bytes>,
    mut pings: Option<PingPong>,
    activity: &Activity,
    has_streams: impl Fn() -> bool,
) {
    let mut pinged: Option<Instant> = None;
    let mut look = Box::pin(sleep(LOOK));
    poll_fn(|cx| {
        if std::pin::Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(pings) = &mut pings else { return Poll::Pending };
        if pinged.is_some() && pings.poll_pong(cx).is_ready() {
            pinged = None;
        }
        while look.as_mut().poll(cx).is_ready() {
            look.set(sleep(LOOK));
            let now = Instant::now();
            match pinged {
                Some(since) if now >= since + PING_TIMEOUT => return Poll::Ready(()),
                None if has_streams()
                    && now >= activity.heard() + PING_AFTER
                    && pings.send_ping(Ping::opaque()).is_ok() =>
                {
                    pinged = Some(now);
                    cx.waker().wake_by_ref();
                }
                _ => {}
            }
        }
        Poll::Pending
    })
    .await;
}

/// Of silence, with a request under way, before an endpoint is asked whether it is there; and for its answer.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_secs(5);
