//! Endpoints that speak TLS, and do as they are told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::secure::Authority;
use super::{PATIENCE, ok};

/// A listening endpoint that shakes hands and runs a script for each connection.
pub(crate) struct SecureOrigin {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// Heads with their bodies.
    requests: Mutex<Vec<String>>,
    handshakes: Mutex<Vec<Handshake>>,
    stopped: AtomicBool,
}

/// The name and the protocol that one has agreed on, or how it has failed.
type Handshake = Result<(Option<String>, String), String>;

/// One connection, for the script.
pub(crate) struct SecureExchange {
    stream: StreamOwned<ServerConnection, TcpStream>,
    seen: Arc<Seen>,
}

/// With which an endpoint shows that certificate; whoever connects has to be vouched for by `clients`, if there is one.
pub(crate) fn showing(
    (certificate, key): &(String, String),
    clients: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

impl SecureOrigin {
    /// Runs `script` once per connection whose handshake was good.
    pub(crate) fn start(config: ServerConfig, script: impl Fn(SecureExchange) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
        let (shared, config, script) = (Arc::clone(&seen), Arc::new(config), Arc::new(script));
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, config, script) = (Arc::clone(&shared), Arc::clone(&config), Arc::clone(&script));
                std::thread::spawn(move || {
                    if let Some(exchange) = SecureExchange::shake(socket, config, seen) {
                        script(exchange);
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Answers every request with its name and keeps the connection.
    pub(crate) fn named(config: ServerConfig, name: &str) -> Self {
        let response = ok(name);
        Self::start(config, move |mut exchange| while exchange.request().is_some() && exchange.send(&response) {})
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn handshakes(&self) -> Vec<Handshake> {
        self.seen.handshakes.lock().unwrap().clone()
    }
}

impl Drop for SecureOrigin {
    fn drop(&mut self) {
        self.seen.stopped.store(true, Ordering::SeqCst);
        // Wakes the one who accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl SecureExchange {
    fn shake(socket: TcpStream, config: Arc<ServerConfig>, seen: Arc<Seen>) -> Option<Self> {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        while stream.conn.is_handshaking() {
            if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
                // The alert that says why.
                let _ = stream.conn.write_tls(&mut stream.sock);
                seen.handshakes.lock().unwrap().push(Err(error.to_string()));
                return None;
            }
        }
        let agreed = String::from_utf8_lossy(stream.conn.alpn_protocol().unwrap_or_default()).into_owned();
        let name = stream.conn.server_name().map(str::to_owned);
        seen.handshakes.lock().unwrap().push(Ok((name, agreed)));
        Some(Self { stream, seen })
    }

    /// The next request, whose body has a length if it has one; `None` when the connection has ended.
    pub(crate) fn request(&mut self) -> Option<String> {
        let mut text = self.until("\r\n\r\n")?;
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).ok()?;
        text.push_str(&String::from_utf8_lossy(&body));
        self.seen.requests.lock().unwrap().push(text.clone());
        Some(text)
    }

    /// Takes bytes until `mark` has come.
    pub(crate) fn until(&mut self, mark: &str) -> Option<String> {
        let mut text = String::new();
        while !text.ends_with(mark) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            text.push(char::from(byte[0]));
        }
        Some(text)
    }

    /// Whether it went out.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Says that nothing follows.
    pub(crate) fn good_bye(mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
        let _ = self.stream.sock.shutdown(Shutdown::Write);
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// Just goes: the connection ends without a word.
    pub(crate) fn go(mut self) {
        let _ = self.stream.sock.shutdown(Shutdown::Write);
        let _ = self.stream.sock.read_to_end(&mut Vec::new());
    }
}
