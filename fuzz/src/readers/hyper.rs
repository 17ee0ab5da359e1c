//! hyper over bytes in memory, without a runtime.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, Version};

use super::{End, Heard};
use crate::message::{Kind, Lines, Message};

pub(super) fn read(kind: Kind, bytes: &[u8]) -> Heard {
    let said = Rc::<RefCell<Said>>::default();
    let wire = Rc::<RefCell<Wire>>::default();
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = match kind {
        Kind::Request => vec![Box::pin(serve(Rc::clone(&wire), Rc::clone(&said)))],
        Kind::Response => vec![Box::pin(ask(Method::GET, Rc::clone(&wire), Rc::clone(&said)))],
        Kind::ResponseToHead => vec![Box::pin(ask(Method::HEAD, Rc::clone(&wire), Rc::clone(&said)))],
    };
    settle(&mut tasks);
    let (first, last) = bytes.split_at(bytes.len().saturating_sub(1));
    let mut end = End::Never;
    for (piece, when) in [(first, End::Early), (last, End::Last), (&b""[..], End::Close)] {
        wire.borrow_mut().bytes.extend_from_slice(piece);
        wire.borrow_mut().closed = when == End::Close;
        settle(&mut tasks);
        if said.borrow().complete {
            end = when;
            break;
        }
    }
    let said = said.take();
    let error = if end == End::Never { said.error } else { None };
    Heard { message: said.message, interim: None, end, error }
}

#[derive(Default)]
struct Said {
    message: Option<Message>,
    complete: bool,
    error: Option<String>,
}

async fn serve(wire: Rc<RefCell<Wire>>, said: Rc<RefCell<Said>>) {
    let heard = Rc::clone(&said);
    let service = service_fn(move |request: Request<Incoming>| {
        let said = Rc::clone(&heard);
        async move {
            // Of several messages the first is asked for.
            if said.borrow().message.is_none() {
                let (head, body) = request.into_parts();
                let start = vec![head.method.as_str().into(), head.uri.to_string().into(), version(head.version)];
                take(start, &head.headers, body, &said).await;
            }
            Ok::<_, Infallible>(Response::new(Empty::<&[u8]>::new()))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let result = builder.max_headers(FIELDS_MAX).serve_connection(Io(wire), service).await;
    if let Err(error) = result {
        said.borrow_mut().error.get_or_insert(error.to_string());
    }
}

async fn ask(method: Method, wire: Rc<RefCell<Wire>>, said: Rc<RefCell<Said>>) {
    let mut builder = hyper::client::conn::http1::Builder::new();
    let handshake = builder.max_headers(FIELDS_MAX).handshake::<_, Empty<&[u8]>>(Io(wire)).await;
    let Ok((mut sender, connection)) = handshake else { return };
    let request = Request::builder().method(method).uri("/").header("host", "a").body(Empty::new());
    let exchange = async {
        let Ok(request) = request else { return };
        match sender.send_request(request).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let start = vec![head.status.as_str().into(), version(head.version)];
                take(start, &head.headers, body, &said).await;
            }
            Err(error) => {
                said.borrow_mut().error.get_or_insert(error.to_string());
            }
        }
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    let (mut answered, mut ended) = (false, false);
    std::future::poll_fn(|cx| {
        ended = ended || connection.as_mut().poll(cx).is_ready();
        answered = answered || exchange.as_mut().poll(cx).is_ready();
        if answered { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn take(start: Vec<Vec<u8>>, fields: &HeaderMap, mut body: Incoming, said: &Rc<RefCell<Said>>) {
    let message = Message { start, fields: lines(fields), ..Message::default() };
    said.borrow_mut().message = Some(message);
    while let Some(frame) = body.frame().await {
        let mut said = said.borrow_mut();
        let Some(message) = &mut said.message else { return };
        match frame.map(|frame| frame.into_data().map_err(|frame| frame.into_trailers())) {
            Ok(Ok(piece)) => message.body.extend_from_slice(&piece),
            Ok(Err(Ok(trailers))) => message.trailers = lines(&trailers),
            Ok(Err(Err(_))) => {}
            Err(error) => {
                said.error = Some(error.to_string());
                return;
            }
        }
    }
    said.borrow_mut().complete = true;
}

fn lines(fields: &HeaderMap) -> Lines {
    let lines = fields.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()));
    let mut lines: Lines = lines.collect();
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines
}

fn version(version: Version) -> Vec<u8> {
    format!("{version:?}").trim_start_matches("HTTP/").into()
}

/// Lets the tasks run until they wait for bytes.
fn settle(tasks: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    while woken.0.swap(false, Ordering::SeqCst) {
        tasks.retain_mut(|task| task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What is on its way to hyper; what it writes goes nowhere.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    closed: bool,
}

struct Io(Rc<RefCell<Wire>>);

impl hyper::rt::Read for Io {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        let count = wire.bytes.len().min(buffer.remaining());
        if count == 0 && !wire.closed {
            return Poll::Pending;
        }
        buffer.put_slice(&wire.bytes[..count]);
        wire.bytes.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const FIELDS_MAX: usize = 1_100;
