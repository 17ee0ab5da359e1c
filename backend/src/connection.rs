//! The life of one connection.
//!
//! Decides who owns its bytes: hyper, a raw answer or a tunnel; and when it is closed. Called by `serve`, once for each
//! connection. Never decides what is answered.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::faults::Then;
use crate::service::Service;
use crate::socket::Socket;
use crate::takeover::{ConnectionState, Takeover};
use crate::worker::Worker;
use crate::{tunnel, websocket};

/// Serves a connection until its end. What goes wrong on it concerns its client alone, who knows already.
pub(crate) async fn serve<S: Socket>(mut socket: S, worker: Arc<Worker>, drain: watch::Receiver<bool>) {
    let _open = worker.connection_opened();
    loop {
        let (returned, read, takeover) = speak_http(socket, &worker, drain.clone()).await;
        socket = returned;
        let ended = match takeover {
            None => socket.shutdown().await,
            Some(Takeover::Reset) => {
                socket.reset_on_close();
                return;
            }
            Some(Takeover::Linger) => linger(&mut socket).await,
            Some(Takeover::TimedOut) => match socket.write_all(TIMED_OUT).await {
                Ok(()) => linger(&mut socket).await,
                Err(error) => Err(error),
            },
            Some(Takeover::Raw(raw, _in_flight)) => match raw.send(&mut socket).await {
                // A next request that was read already would be lost to the next parser; closing is allowed any time.
                Ok(Then::KeepAlive) if read.is_empty() && !*drain.borrow() => continue,
                Ok(_) => linger(&mut socket).await,
                Err(error) => Err(error),
            },
            Some(Takeover::Echo(_in_flight)) => tunnel::echo(&mut socket, read).await,
            Some(Takeover::WebSocket(ping, _in_flight)) => websocket::echo(socket, read, ping, drain).await,
        };
        // Only the client could be told, and it is the one who left.
        let _: io::Result<()> = ended;
        return;
    }
}

/// Lets hyper serve until the connection ends, idles too long, drains, or is taken over; what it had read ahead comes
/// back with the socket.
async fn speak_http<S: Socket>(
    socket: S,
    worker: &Arc<Worker>,
    mut drain: watch::Receiver<bool>,
) -> (S, Bytes, Option<Takeover>) {
    let shared = ConnectionState::new();
    let service = Service::new(worker.clone(), shared.clone());
    let mut builder = http1::Builder::new();
    builder.keep_alive(worker.options.keeps_alive());
    // hyper has a time limit of its own, which would end the wait for a second request too.
    builder.timer(TokioTimer::new()).header_read_timeout(worker.options.timeout);
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    let mut drained = pin!(async {
        let drains = drain.wait_for(|draining| *draining).await.is_ok();
        if shared.is_fresh() {
            // Nobody else would answer it.
            let _ = timeout(FIRST_REQUEST_TIME, shared.first_request()).await;
        }
        drains
    });
    let mut draining = false;
    let limit = worker.options.keep_alive_timeout;
    let mut idle = pin!(limit.map(|limit| sleep_until(shared.idle_at(limit))));

    let result = poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(result);
            }
            if shared.seized() {
                return Poll::Ready(Ok(()));
            }
            if !draining && drained.as_mut().poll(cx).is_ready() {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
                continue;
            }
            if let (Some(limit), Some(mut idle)) = (limit, idle.as_mut().as_pin_mut())
                && idle.as_mut().poll(cx).is_ready()
            {
                let at = shared.idle_at(limit);
                if at <= Instant::now() {
                    Pin::new(&mut connection).graceful_shutdown();
                }
                idle.as_mut().reset(at.max(Instant::now() + IDLE_LOOK_MIN));
                continue;
            }
            return Poll::Pending;
        }
    })
    .await;

    let parts = connection.into_parts();
    let mut takeover = shared.taken_over();
    let is_begun = shared.served() == 0 || !parts.read_buf.is_empty();
    if let Err(error) = &result
        && error.is_timeout()
        && is_begun
    {
        return (parts.io.into_inner(), parts.read_buf, Some(Takeover::TimedOut));
    }
    if let Err(error) = result {
        // Of what was to follow its answer nothing can; but a 400 must survive what the client still sends.
        takeover = error.is_parse().then_some(Takeover::Linger);
    }
    (parts.io.into_inner(), parts.read_buf, takeover)
}

/// Says that nothing more comes, then takes what the client still sends, within bounds (RFC 9112 section 9.6).
async fn linger<S: Socket>(socket: &mut S) -> io::Result<()> {
    socket.shutdown().await?;
    let mut buffer = vec![0; 16 * 1024];
    let mut left = LINGER_BYTES_MAX;
    let until_end = async {
        loop {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) if read >= left => return,
                Ok(read) => left -= read,
            }
        }
    };
    // Past the bound the client gets its RST.
    let _ = timeout(LINGER_TIME_MAX, until_end).await;
    Ok(())
}

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// After the drain has begun; a client that has connected sends its request at once.
const FIRST_REQUEST_TIME: Duration = Duration::from_millis(500);
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
/// A connection that ignores its idle time (a header section half received) is looked at again, but not in a hot loop.
const IDLE_LOOK_MIN: Duration = Duration::from_millis(1);
