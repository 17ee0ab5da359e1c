//! Accepts admin clients and has their requests answered, each connection a task of its own on the control thread.
//!
//! The Unix socket lets in whom its mode lets in. Over TCP anybody may connect, so nobody waits for anybody: who has not shown within a
//! second that he may ask is sent away, and sooner where others come; who has shown it has one of the places that strangers cannot take.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::access::{AdminAuth, Asker};
use super::answer::{ServiceAnswer, plain};
use super::client::INSTANCE;
use super::socket::{self, AdminSocketFile};
use super::strangers::{Stranger, Strangers};
use super::{Instance, route};

/// Serves the clients of the Unix socket, for ever; beyond so many at once, the next waits to be accepted. Where its file was removed under
/// us, it is made again.
pub(super) async fn unix(mut listener: UnixListener, mut file: AdminSocketFile, instance: Arc<Instance>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut said = false;
    loop {
        let came = tokio::select! {
            came = listener.accept() => came,
            () = tokio::time::sleep(LOOK) => {
                if file.is_there() {
                    said = false;
                } else if let Some(again) = again(&file, &mut said) {
                    (listener, file) = again;
                }
                continue;
            }
        };
        let Some((stream, _)) = accepted(came).await else { continue };
        // It fails only when the semaphore is closed, and nobody closes it.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        tokio::spawn(serve_owner(stream, place, Arc::clone(&instance)));
    }
}

/// The socket once more, in its old place; that it cannot be is said once.
fn again(file: &AdminSocketFile, said: &mut bool) -> Option<(UnixListener, AdminSocketFile)> {
    let path = file.path();
    let opened = socket::open(path, None).and_then(|(again, file)| Ok((UnixListener::from_std(again)?, file)));
    match opened {
        Ok(again) => {
            tracing::warn!("the admin socket {} was removed; it was made again", path.display());
            Some(again)
        }
        Err(error) => {
            if !std::mem::replace(said, true) {
                tracing::error!("the admin socket {} was removed and cannot be made again: {error}", path.display());
            }
            None
        }
    }
}

async fn serve_owner(stream: UnixStream, place: OwnedSemaphorePermit, instance: Arc<Instance>) {
    let answer = move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let instance = Arc::clone(&instance);
        async move {
            let mut answer = match AdminAuth::Unix.check(&head) {
                Ok(asker) => route::answer(&instance, &head, asker).await,
                Err(refusal) => *refusal,
            };
            // Whoever asks at a socket may not know whose it is.
            if let Ok(is) = HeaderValue::try_from(instance.introduction().json()) {
                answer.headers_mut().insert(INSTANCE, is);
            }
            Ok::<_, Infallible>(answer)
        }
    };
    // How a client's connection ends is its own affair.
    let _ = http().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    drop(place);
}

/// Serves the clients of the TCP address, for ever.
pub(super) async fn tcp(listener: TcpListener, auth: AdminAuth, instance: Arc<Instance>) {
    let (places, strangers) = (Arc::new(Semaphore::new(CLIENTS_MAX)), Arc::<Strangers>::default());
    loop {
        let Some((stream, _)) = accepted(listener.accept().await).await else { continue };
        // Who takes nothing for that long is gone, or wants to keep others out.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED));
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve_anybody(
            stream,
            strangers.enter(),
            auth.clone(),
            Arc::clone(&places),
            Arc::clone(&instance),
        ));
        // A request that is there already is read before others can take its place.
        tokio::task::yield_now().await;
    }
}

async fn serve_anybody(
    stream: TcpStream,
    mut stranger: Stranger,
    auth: AdminAuth,
    places: Arc<Semaphore>,
    instance: Arc<Instance>,
) {
    let (introduction, introduced) = oneshot::channel();
    let introduction = Mutex::new(Some(introduction));
    let answer = move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let checked = auth.check(&head).and_then(|asker| match asker {
            Asker::Known => introduce(&introduction, &places).map(|()| asker),
            Asker::Stranger => Ok(asker),
        });
        let instance = Arc::clone(&instance);
        async move {
            Ok::<_, Infallible>(match checked {
                Ok(asker) => route::answer(&instance, &head, asker).await,
                Err(refusal) => *refusal,
            })
        }
    };
    let mut connection = pin!(http().serve_connection(TokioIo::new(stream), service_fn(answer)));
    // Its request comes before its time is over.
    let place = tokio::select! {
        biased;
        _ = &mut connection => return,
        place = introduced => place,
        () = stranger.has_to_go() => return,
    };
    drop(stranger);
    let _ = connection.await;
    drop(place);
}

/// Gives a place to a connection that has none yet.
fn introduce(
    introduction: &Mutex<Option<oneshot::Sender<OwnedSemaphorePermit>>>,
    places: &Arc<Semaphore>,
) -> Result<(), Box<ServiceAnswer>> {
    let mut introduction = introduction.lock().unwrap_or_else(PoisonError::into_inner);
    if introduction.is_none() {
        return Ok(());
    }
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        let text =
            format!("{CLIENTS_MAX} admin clients are connected, which is the limit: try again when one has left");
        return Err(plain(StatusCode::SERVICE_UNAVAILABLE, &text).into());
    };
    // The connection is there as long as its requests are.
    let _ = introduction.take().map(|introduction| introduction.send(place));
    Ok(())
}

async fn accepted<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::debug!(%error, "cannot accept an admin client");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER).max_buf_size(READ_BUFFER);
    http
}

/// Clients at once on the socket, and as many that are known on the address.
const CLIENTS_MAX: usize = 64;
/// For a header section, and between requests.
const HEADER: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(30);
const READ_BUFFER: usize = 16 * 1024;
/// Between two looks whether the socket is there.
const LOOK: Duration = Duration::from_secs(1);
/// After a failed accept, such as for a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
