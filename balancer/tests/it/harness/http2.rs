//! A client that speaks HTTP/2: with a library, and by frames put together by hand.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Client, PATIENCE};

/// A connection, and what drives it while an answer is waited for.
pub(crate) struct Http2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

/// A request under way.
pub(crate) struct Asked {
    pub(crate) answer: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

/// What was answered.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// How it broke off, if it did.
    pub(crate) broken: Option<String>,
}

impl Http2 {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let requests = runtime.block_on(async {
            let socket = timeout(PATIENCE, TcpStream::connect(address)).await.unwrap().unwrap();
            socket.set_nodelay(true).unwrap();
            let (requests, connection) = timeout(PATIENCE, h2::client::handshake(socket)).await.unwrap().unwrap();
            tokio::spawn(async move { _ = connection.await });
            requests
        });
        Self { runtime, requests }
    }

    /// Begins a request; `ends` says that it has no body. `target` is a URI, or a path where there is a field `host`.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)], ends: bool) -> Asked {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let requests = self.requests.clone();
        self.runtime.block_on(async {
            let mut ready = timeout(PATIENCE, requests.ready()).await.unwrap().unwrap();
            let (answer, body) = ready.send_request(request, ends).unwrap();
            Asked { answer, body }
        })
    }

    /// Whether a further request can be made on the connection.
    pub(crate) fn is_open(&mut self) -> bool {
        let requests = self.requests.clone();
        self.runtime.block_on(async { timeout(PATIENCE, requests.ready()).await.unwrap().is_ok() })
    }

    /// The answer with its body, to its end.
    pub(crate) fn answer(&mut self, asked: Asked) -> Answered {
        let Asked { answer, body: _body } = asked;
        self.runtime.block_on(async { timeout(PATIENCE, answered(answer)).await.expect("an answer") })
    }

    /// Runs what a test waits for besides.
    pub(crate) fn run<F: Future>(&mut self, future: F) -> F::Output {
        self.runtime.block_on(async { timeout(PATIENCE, future).await.expect("what a test waits for") })
    }

    /// A GET and its answer.
    pub(crate) fn get(&mut self, path: &str) -> Answered {
        let asked = self.ask("GET", &format!("http://app.test{path}"), &[], true);
        self.answer(asked)
    }

    /// A POST with these pieces of a body and these trailers, and its answer.
    pub(crate) fn post(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        pieces: &[&[u8]],
        trailers: &[(&str, &str)],
    ) -> Answered {
        let mut asked = self.ask("POST", &format!("http://app.test{path}"), fields, false);
        for piece in pieces {
            asked.body.send_data(Bytes::copy_from_slice(piece), false).unwrap();
        }
        let mut map = HeaderMap::new();
        for (name, value) in trailers {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        asked.body.send_trailers(map).unwrap();
        self.answer(asked)
    }
}

impl Answered {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

async fn answered(answer: ResponseFuture) -> Answered {
    let response = match answer.await {
        Ok(response) => response,
        Err(error) => return Answered { broken: Some(error.to_string()), ..Answered::default() },
    };
    let (head, mut body) = response.into_parts();
    let mut answered = Answered { status: head.status.as_u16(), fields: pairs(&head.headers), ..Answered::default() };
    if let Err(error) = read(&mut body, &mut answered).await {
        answered.broken = Some(error.to_string());
    }
    answered
}

async fn read(body: &mut RecvStream, answered: &mut Answered) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        let piece = piece?;
        answered.body.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    answered.trailers = pairs(&body.trailers().await?.unwrap_or_default());
    Ok(())
}

fn pairs(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

/// Frames by hand, on a connection of bytes (RFC 9113 §4.1).
pub(crate) struct Frames(pub(crate) Client);

/// One that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Frames {
    /// After the preface and settings, which are pairs of a number and a value.
    pub(crate) fn at(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self(Client::at(address));
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frames.0.send([PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat());
        frames
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.send(frame(kind, flags, stream, payload));
    }

    /// Sends as much as the other side takes; whether it took all.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0.try_send(bytes).is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = self.0.try_take(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7FFF_FFFF;
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.0.try_take(length)? })
    }

    /// The next one of that kind; others are passed over.
    pub(crate) fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Why the connection is ended: the code of the last GOAWAY before the end.
    pub(crate) fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        code
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals without indexing (RFC 7541 §6.2.2), of less than 127 bytes each.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The fields of a GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", path)])
}
