//! The life of one connection.
//!
//! Decides who owns its bytes: hyper, a raw answer or a tunnel; and when it is closed. Called by `serve`, once for each
//! connection. Never decides what is answered.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::faults::{Raw, Then};
use crate::service::Service;
use crate::worker::{InFlight, Worker};
use crate::{tunnel, websocket};

/// A client's socket, TCP or Unix.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the next close an RST where the kind of socket knows one.
    fn reset_on_close(&self);
}

impl Socket for TcpStream {
    fn reset_on_close(&self) {
        // It fails only for a connection that is gone already.
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Socket for UnixStream {
    fn reset_on_close(&self) {}
}

/// What takes a connection out of hyper's hands, and the request it does that for.
#[derive(Debug)]
pub(crate) enum Takeover {
    /// At once: RST.
    Reset,
    /// At once: these bytes, ours to the last.
    Raw(Raw, InFlight),
    /// After the answer: close, but let the client finish sending first, lest an RST destroys the answer on its way.
    Linger,
    /// After the 101: every byte back.
    Echo(InFlight),
    /// After the 101: WebSocket messages back, with a ping each so often.
    WebSocket(Option<Duration>, InFlight),
}

impl Takeover {
    fn waits_for_hyper(&self) -> bool {
        !matches!(self, Takeover::Reset | Takeover::Raw(..))
    }
}

/// What a connection and its requests tell each other.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    takeover: Option<Takeover>,
    requests: usize,
    idle_since: Instant,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { state: Mutex::new(State { takeover: None, requests: 0, idle_since: Instant::now() }) })
    }

    pub(crate) fn take_over(&self, takeover: Takeover) {
        self.lock().takeover = Some(takeover);
    }

    /// Keeps the connection from being idle until the guard is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.lock().requests += 1;
        Busy(self.clone())
    }

    /// When the connection has been idle for `limit`; in the past if that was reached.
    fn idle_at(&self, limit: Duration) -> Instant {
        let state = self.lock();
        let since = if state.requests == 0 { state.idle_since } else { Instant::now() };
        since + limit
    }

    fn seized(&self) -> bool {
        self.lock().takeover.as_ref().is_some_and(|takeover| !takeover.waits_for_hyper())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request its connection is busy with.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

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
    let shared = Shared::new();
    let service = Service::new(worker.clone(), shared.clone());
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    let mut drained = pin!(async move { drain.wait_for(|draining| *draining).await.is_ok() });
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
    let mut takeover = shared.lock().takeover.take();
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

const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
/// A connection that ignores its idle time (a header section half received) is looked at again, but not in a hot loop.
const IDLE_LOOK_MIN: Duration = Duration::from_millis(1);
