//! Endpoints that do as they are told, and remember what they got.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::message::{Ended, Message};
use super::wire::{Stream, Wire};
use super::{eventually, ok};

/// A listening endpoint that runs a script for each connection.
pub(crate) struct Origin {
    place: Place,
    seen: Arc<Seen>,
}

enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What came, over all connections.
#[derive(Default)]
struct Seen {
    connections: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    requests: Mutex<Vec<Message>>,
    ended: Mutex<Vec<Ended>>,
    sent: AtomicU64,
    stopped: AtomicBool,
}

/// One connection, for the script.
pub(crate) struct Exchange {
    wire: Wire,
    /// Which connection it is, from 0.
    pub(crate) number: usize,
    seen: Arc<Seen>,
}

impl Origin {
    /// Runs `script` once per connection, which is closed when it returns.
    pub(crate) fn start(script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    /// The same with the kernel's own pace (RFC 896): a small piece waits while another is not acknowledged.
    pub(crate) fn with_nagle(script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        Self::listening("127.0.0.1:0", false, script)
    }

    pub(crate) fn start_at(address: &str, script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        Self::listening(address, true, script)
    }

    fn listening(address: &str, nodelay: bool, script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        // The 128 of the standard library are few for a test with many connections at once: the kernel drops the others.
        socket2::SockRef::from(&listener).listen(4_096).unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap());
        Self::run(place, script, move || {
            let stream = listener.accept()?.0;
            stream.set_nodelay(nodelay)?;
            Ok(Stream::Tcp(stream))
        })
    }

    pub(crate) fn unix(path: &Path, script: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::run(Place::Unix(path.to_owned()), script, move || Ok(Stream::Unix(listener.accept()?.0)))
    }

    /// Answers every request with the same bytes and keeps the connection.
    pub(crate) fn answering(response: impl Into<String>) -> Self {
        let response = response.into();
        Self::start(move |mut exchange| while exchange.request().is_some() && exchange.send(&response) {})
    }

    /// Answers every request with its name.
    pub(crate) fn named(name: &str) -> Self {
        Self::answering(ok(name))
    }

    /// Reads one request, answers with these bytes, closes.
    pub(crate) fn once(response: impl Into<String>) -> Self {
        let response = response.into();
        Self::start(move |mut exchange| {
            if exchange.request().is_some() {
                exchange.send(&response);
            }
        })
    }

    /// Reads what comes, says nothing.
    pub(crate) fn silent() -> Self {
        Self::start(|mut exchange| {
            exchange.request();
            exchange.read_to_end();
        })
    }

    fn run(
        place: Place,
        script: impl Fn(Exchange) + Send + Sync + 'static,
        accept: impl Fn() -> std::io::Result<Stream> + Send + 'static,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let (shared, script) = (Arc::clone(&seen), Arc::new(script));
        std::thread::spawn(move || {
            while let Ok(stream) = accept() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let record = Arc::new(Mutex::new(Vec::new()));
                let number = {
                    let mut connections = shared.connections.lock().unwrap();
                    connections.push(Arc::clone(&record));
                    connections.len() - 1
                };
                let wire = Wire::new(stream, Some(record));
                let (exchange, script) = (Exchange { wire, number, seen: Arc::clone(&shared) }, Arc::clone(&script));
                std::thread::spawn(move || script(exchange));
            }
        });
        Self { place, seen }
    }

    /// As the configuration writes it.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.lock().unwrap().len()
    }

    /// Every byte that came on a connection.
    pub(crate) fn bytes(&self, connection: usize) -> String {
        let record = Arc::clone(&self.seen.connections.lock().unwrap()[connection]);
        let bytes = record.lock().unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Requests whose heads have come so far; with their bodies, if those were read.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// The only request there was.
    pub(crate) fn request(&self) -> Message {
        self.await_requests(1);
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    pub(crate) fn await_requests(&self, count: usize) {
        let arrived = || (self.requests().len() >= count).then_some(());
        eventually(|| format!("{count} requests, not {:?}", self.requests()), arrived);
    }

    /// Connections that scripts have read to their ends.
    pub(crate) fn ends(&self) -> usize {
        self.seen.ended.lock().unwrap().len()
    }

    /// How the first connection that a script read to its end has ended.
    pub(crate) fn await_end(&self) -> Ended {
        self.await_ends(1)
    }

    /// The same of another one, counted from 1.
    pub(crate) fn await_ends(&self, count: usize) -> Ended {
        let ended = || self.seen.ended.lock().unwrap().get(count - 1).copied();
        eventually(|| "the end of an upstream connection".into(), ended)
    }

    /// Bytes that [`Exchange::pour`] got rid of.
    pub(crate) fn sent(&self) -> u64 {
        self.seen.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.stopped.store(true, Ordering::SeqCst);
        // Wakes the one who accepts.
        match &self.place {
            Place::Tcp(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
    }
}

impl Exchange {
    /// The next request with its body; `None` when the connection has ended.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let head = self.wire.head().ok()?;
        let message = self.wire.body(head, false);
        self.seen.requests.lock().unwrap().push(message.clone());
        Some(message)
    }

    /// The next request's head.
    pub(crate) fn head(&mut self) -> Option<Message> {
        let head = self.wire.head().ok()?;
        self.seen.requests.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// The body of a request whose head was read, put with it.
    pub(crate) fn body(&mut self, head: Message) -> Message {
        let message = self.wire.body(head, false);
        if let Some(last) = self.seen.requests.lock().unwrap().last_mut() {
            *last = message.clone();
        }
        message
    }

    /// From now on a silence as long as that is the end of the connection.
    pub(crate) fn close_after(&self, idle: std::time::Duration) {
        self.wire.socket().set_read_timeout(Some(idle)).unwrap();
    }

    /// Whether it went out.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.send(bytes.as_ref()).is_ok()
    }

    /// Sends bytes of [`pattern`] piece by piece, and counts them.
    pub(crate) fn pour(&mut self, length: usize) -> bool {
        let piece = super::super::streaming::pattern(64 * 1024);
        let mut left = length;
        while left > 0 {
            let now = left.min(piece.len());
            if !self.send(&piece[..now]) {
                return false;
            }
            self.seen.sent.fetch_add(now as u64, Ordering::SeqCst);
            left -= now;
        }
        true
    }

    /// Takes bytes until `mark` has come.
    pub(crate) fn until(&mut self, mark: &str) -> Option<String> {
        self.wire.until(mark.as_bytes()).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Takes so many bytes, or fewer where there are no more.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.wire.counted(&mut bytes, length);
        bytes
    }

    /// Reads until the other side ends, which [`Origin::await_end`] is told.
    pub(crate) fn read_to_end(&mut self) -> String {
        let ended = self.wire.read_to_end();
        self.seen.ended.lock().unwrap().push(ended);
        String::from_utf8_lossy(&self.wire.take()).into_owned()
    }

    pub(crate) fn half_close(&self) {
        self.wire.half_close();
    }

    pub(crate) fn reset(self) {
        self.wire.reset();
    }
}
