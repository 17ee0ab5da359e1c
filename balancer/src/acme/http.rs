//! Requests to a CA. Each has a connection of its own: there are a dozen in two months.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type HttpFailure = Box<dyn std::error::Error + Send + Sync>;

/// A client that believes some of those who vouch for others.
#[derive(Debug, Clone)]
pub(super) struct Http(pub(super) Arc<ClientConfig>);

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.0);
        Box::pin(async move {
            let whom = request.uri().host().unwrap_or_default().to_owned();
            let asked = timeout(REQUEST, ask(tls, request)).await;
            let asked = asked.unwrap_or_else(|_| Err("it does not answer in time".into()));
            asked.map_err(|error| Error::Other(format!("{whom} cannot be asked: {error}").into()))
        })
    }
}

async fn ask(tls: Arc<ClientConfig>, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, HttpFailure> {
    let uri = request.uri().clone();
    let stream = connect(tls, &uri).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this request, also where it is given up.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let authority = uri.authority().ok_or("its address has no host")?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let method = request.method().clone();
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let is_failed = parts.status.is_client_error() || parts.status.is_server_error();
    // RFC 8555 §6.7; something in front of a CA answers in another way.
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let tells_why = kind.is_some_and(|kind| kind.starts_with("application/problem+json"));
    if is_failed && (method != Method::POST || !tells_why) {
        return Err(format!("it answers {} to {method} {}", parts.status, uri.path()).into());
    }
    let body = Limited::new(body, BYTES_MAX).collect().await?.to_bytes();
    Ok(BytesResponse { parts, body: Box::new(body) })
}

/// One address after another, since the first may lead nowhere.
async fn connect(tls: Arc<ClientConfig>, uri: &Uri) -> Result<TlsStream<TcpStream>, HttpFailure> {
    let host = uri.host().ok_or("its address has no host")?.trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())?;
    let mut failed = io::Error::other("its name has no address");
    for address in lookup_host((host, uri.port_u16().unwrap_or(443))).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(TlsConnector::from(tls).connect(name, socket).await?),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed.into())
}

const AGENT: &str = concat!("balancer/", env!("CARGO_PKG_VERSION"), " instant-acme");
/// For one address.
const CONNECT: Duration = Duration::from_secs(5);
/// From the lookup to the last byte.
const REQUEST: Duration = Duration::from_secs(30);
/// Of an answer; a chain has a few KiB.
const BYTES_MAX: usize = 1 << 20;
