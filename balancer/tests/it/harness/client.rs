//! A client that sends bytes.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::message::{Ended, Message};
use super::wire::{Stream, Wire};
use super::{Balancer, PATIENCE};

/// A connection to the balancer.
pub(crate) struct Client(Wire);

impl Client {
    pub(crate) fn of(balancer: &Balancer) -> Self {
        Self::at(balancer.address())
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(Wire::new(Stream::Tcp(stream), None))
    }

    /// From an address of its own.
    pub(crate) fn from(source: std::net::IpAddr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        Self(Wire::new(Stream::Tcp(stream), None))
    }

    /// With so small a window that little of a response gets past the balancer before it is asked for.
    pub(crate) fn slow_reader(balancer: &Balancer) -> Self {
        let address = balancer.address();
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self(Wire::new(Stream::Tcp(TcpStream::from(socket)), None))
    }

    pub(crate) fn unix(path: &Path) -> Self {
        Self(Wire::new(Stream::Unix(UnixStream::connect(path).unwrap()), None))
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.send(bytes.as_ref()).unwrap();
    }

    /// Sends what the other side takes.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.send(bytes.as_ref())
    }

    /// Sends what the other side takes within a moment.
    pub(crate) fn try_send_now(&mut self, bytes: &[u8]) -> bool {
        self.0.socket().set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        self.0.send(bytes).is_ok()
    }

    /// Sends until nobody takes any more for a moment, 256 MiB at most.
    pub(crate) fn fill(&mut self) {
        self.fill_with(&[b'a'; 64 * 1024]);
    }

    /// The same, with one piece again and again.
    pub(crate) fn fill_with(&mut self, piece: &[u8]) {
        self.0.socket().set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        assert!((0..(256 << 20) / piece.len()).any(|_| self.0.send(piece).is_err()), "256 MiB went somewhere");
    }

    /// A `GET` that keeps the connection, and its response.
    pub(crate) fn get(&mut self, target: &str) -> Message {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"));
        self.response()
    }

    /// The next response, its body by its framing.
    pub(crate) fn response(&mut self) -> Message {
        let head = self.head();
        let bodiless = matches!(head.status(), 100..200 | 204 | 304);
        if bodiless { head } else { self.body(head) }
    }

    /// Waits for a whole response, or for what comes before the connection ends.
    pub(crate) fn await_answer(&mut self) {
        if let Ok(head) = self.0.head() {
            self.body(head);
        }
    }

    /// The next head, and nothing of its body: for HEAD, or to look at the body piece by piece.
    pub(crate) fn head(&mut self) -> Message {
        match self.0.head() {
            Ok(head) => head,
            Err(ended) => panic!("no response but {ended:?} after {:?}", String::from_utf8_lossy(&self.0.take())),
        }
    }

    /// What belongs to a head.
    pub(crate) fn body(&mut self, head: Message) -> Message {
        let message = self.0.body(head, true);
        assert_ne!(message.ended, Ended::Silence, "{message:?}");
        message
    }

    /// Takes bytes until `mark` has come.
    pub(crate) fn until(&mut self, mark: &str) -> String {
        match self.0.until(mark.as_bytes()) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(ended) => panic!("no {mark:?} but {ended:?} after {:?}", String::from_utf8_lossy(&self.0.take())),
        }
    }

    /// Takes so many bytes.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let taken = self.0.counted(&mut bytes, length);
        assert_eq!(taken, Ok(()), "after {} bytes", bytes.len());
        bytes
    }

    /// The same, or nothing at the end of the connection.
    pub(crate) fn try_take(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.0.counted(&mut bytes, length) {
            Ok(()) => Some(bytes),
            Err(Ended::Silence) => panic!("nothing came after {} of {length} bytes", bytes.len()),
            Err(_) => None,
        }
    }

    /// Waits for the other side's end: what came before it and how it ended.
    pub(crate) fn rest(&mut self) -> (String, Ended) {
        let ended = self.0.read_to_end();
        (String::from_utf8_lossy(&self.0.take()).into_owned(), ended)
    }

    /// Asserts that the other side ends the connection properly and says nothing any more.
    pub(crate) fn assert_closed(&mut self) {
        assert_eq!(self.rest(), (String::new(), Ended::Close));
    }

    pub(crate) fn half_close(&self) {
        self.0.half_close();
    }

    pub(crate) fn reset(self) {
        self.0.reset();
    }
}
