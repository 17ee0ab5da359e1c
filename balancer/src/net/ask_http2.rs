//! One question to an endpoint that speaks HTTP/2: a GET, or the health check of gRPC.
//!
//! Decides what a service's answer means. Called by [`super::ask`]. Never looks at who asks.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest, handshake};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::{Buffer, Io, Socket};
use crate::config::Question;

/// The status that `question` is answered with, asked as `host`; 200 for a service of gRPC that serves.
///
/// # Errors
/// Those of the connection, an answer that is not HTTP/2, and a service that does not serve.
pub(super) async fn ask(socket: Socket, host: &str, question: &Question) -> io::Result<u16> {
    let scheme = match socket.session() {
        Some(session) if !session.speaks_http2() => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it has not agreed on HTTP/2 in the TLS handshake (ALPN)",
            ));
        }
        Some(_) => "https",
        None => "http",
    };
    let (requests, mut connection) = handshake(Io::new(socket, Buffer::default(), ())).await.map_err(no_http2)?;
    let mut asked = pin!(exchange(requests, (scheme, host), question));
    // Whoever asks drives the connection: it is there for this one question.
    poll_fn(|cx| {
        if let Poll::Ready(asked) = asked.as_mut().poll(cx) {
            return Poll::Ready(asked);
        }
        match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(no_http2(error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn exchange(requests: SendRequest<Bytes>, (scheme, host): (&str, &str), question: &Question) -> io::Result<u16> {
    let mut requests = requests.ready().await.map_err(no_http2)?;
    let mut request = Request::new(());
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(&*question.path).build();
    *request.uri_mut() = uri.map_err(io::Error::other)?;
    let mut fields = HeaderMap::new();
    for (name, value) in &question.fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            fields.append(name, value);
        }
    }
    let answer = match &question.grpc {
        None => {
            *request.headers_mut() = fields;
            requests.send_request(request, true).map_err(no_http2)?.0
        }
        Some(service) => {
            *request.method_mut() = Method::POST;
            fields.insert("content-type", HeaderValue::from_static("application/grpc"));
            fields.insert("te", HeaderValue::from_static("trailers"));
            *request.headers_mut() = fields;
            let (answer, mut body) = requests.send_request(request, false).map_err(no_http2)?;
            body.send_data(check(service), true).map_err(no_http2)?;
            return health(answer).await;
        }
    };
    Ok(answer.await.map_err(no_http2)?.status().as_u16())
}

/// `HealthCheckRequest { service }` (grpc.health.v1), as one message of gRPC.
fn check(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Its field 1, a text; names are bounded below 128 bytes by the configuration.
        message.extend_from_slice(&[0x0a, service.len() as u8]);
        message.extend_from_slice(service.as_bytes());
    }
    let length = (message.len() as u32).to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

async fn health(answer: ResponseFuture) -> io::Result<u16> {
    let response = answer.await.map_err(no_http2)?;
    let (head, mut body) = response.into_parts();
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(no_http2)?;
        let _ = body.flow_control().release_capacity(piece.len());
        message.extend_from_slice(&piece);
        if message.len() > MESSAGE_MAX {
            return Err(io::Error::other("the answer to the health check is too long"));
        }
    }
    let trailers = body.trailers().await.map_err(no_http2)?.unwrap_or_default();
    let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    let code = code.and_then(|code| code.to_str().ok()).unwrap_or("none");
    match (code, serving(&message)) {
        ("0", Some(SERVING)) => Ok(200),
        ("0", Some(status)) => Err(io::Error::other(format!("the service does not serve: health status {status}"))),
        ("5", _) => Err(io::Error::other("the health service does not know this service (grpc-status 5)")),
        ("12", _) => Err(io::Error::other("there is no health service grpc.health.v1 (grpc-status 12)")),
        _ => Err(io::Error::other(format!(
            "the health check failed: HTTP status {}, grpc-status {code}",
            head.status.as_u16()
        ))),
    }
}

/// The field `status` of a `HealthCheckResponse`; 0 where it is left out.
fn serving(message: &[u8]) -> Option<u8> {
    match message.get(5..)? {
        [] => Some(0),
        [0x08, status, ..] => Some(*status),
        _ => None,
    }
}

fn no_http2(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
        false => io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not HTTP/2: {error}")),
    }
}

const SERVING: u8 = 1;
/// The message has a few bytes.
const MESSAGE_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_protocol_buffers_have_them() {
        assert_eq!(&check("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&check("a.B")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 0x08, 1]), Some(SERVING));
        assert_eq!(serving(&[0, 0, 0, 0, 2, 0x08, 2]), Some(2));
        assert_eq!((serving(&[0, 0, 0, 0, 0]), serving(b""), serving(&[0, 0, 0, 0, 1, 0xff])), (Some(0), None, None));
    }
}
