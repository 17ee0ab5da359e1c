//! How requests come: what a client writes, whether it keeps its connection, and what the balancer is told besides.
//!
//! Decides the bytes of each manner, which are those of the tool it is named after. Called by [`crate::guard`]
//! and [`crate::footprint`]. Never counts.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::load::answer::{End, exchange, said};
use crate::{exchange::PATH, failure::Failure, load::local};

/// One way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// `wrk`: HTTP/1.1, a `Host`, nothing else.
    KeepAlive,
    /// `ab`: HTTP/1.0, a connection per request, which the balancer closes.
    Ab,
    /// `ab -k`: the same on one connection.
    AbKeepAlive,
    /// As `wrk`, through a pool whose endpoints take four requests at once.
    Slots,
    /// As `wrk`, each request written to the access log.
    AccessLog,
}

impl Manner {
    /// In the order they are counted and printed.
    pub(crate) const ALL: [Manner; 5] =
        [Manner::KeepAlive, Manner::Ab, Manner::AbKeepAlive, Manner::Slots, Manner::AccessLog];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Manner::KeepAlive => "keep-alive, as wrk",
            Manner::Ab => "a connection per request, as ab",
            Manner::AbKeepAlive => "keep-alive, as ab -k",
            Manner::Slots => "keep-alive, slots = 4",
            Manner::AccessLog => "keep-alive, access log",
        }
    }

    /// Keys of the pool it is about.
    pub(crate) fn pool(self) -> &'static str {
        if self == Manner::Slots { "slots = 4\n" } else { "" }
    }

    /// What a client writes; `ab` in the order of its version 2.3.
    fn request(self, host: SocketAddr) -> String {
        let connection = if self == Manner::AbKeepAlive { "Connection: Keep-Alive\r\n" } else { "" };
        match self {
            Manner::Ab | Manner::AbKeepAlive => format!(
                "GET {PATH} HTTP/1.0\r\n{connection}Host: {host}\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n"
            ),
            _ => format!("GET {PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        }
    }
}

/// A client of a port of 127.0.0.1.
pub(crate) fn client(manner: Manner, port: u16) -> Result<Client, Failure> {
    Client::new(manner, port).map_err(|e| Failure::system("start a client", e))
}

/// A client that asks one thing after the other.
pub(crate) struct Client {
    manner: Manner,
    address: SocketAddr,
    kept: Option<TcpStream>,
    runtime: Runtime,
}

impl Client {
    fn new(manner: Manner, port: u16) -> io::Result<Client> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Client { manner, address: local(port), kept: None, runtime })
    }

    /// Fails where there is no whole answer 200, or a connection that is to be kept was closed.
    pub(crate) fn ask(&mut self) -> io::Result<()> {
        let Client { manner, address, kept, runtime } = self;
        let request = manner.request(*address);
        let keep = *manner != Manner::Ab;
        let was_kept = kept.as_ref().and_then(|stream| stream.local_addr().ok());
        let asked = async { timeout(TIME, exchange(*address, kept, request.as_bytes(), keep)).await };
        let (end, bytes) = runtime.block_on(asked).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let is_kept = kept.as_ref().and_then(|stream| stream.local_addr().ok());
        match end {
            End::Answered { status: 200, .. } if was_kept.is_none() || was_kept == is_kept => Ok(()),
            End::Answered { status: 200, .. } => Err(io::Error::other("the connection was not kept")),
            end => Err(io::Error::other(format!("it answered {}: {}", end.name(), said(&bytes)))),
        }
    }
}

const TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_client_writes_what_the_tool_writes_and_keeps_what_it_keeps() {
        let ab = "Host: 127.0.0.1:PORT\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n";
        for (manner, connections, wanted) in [
            (Manner::KeepAlive, 1, "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n".to_owned()),
            (Manner::Ab, 2, format!("GET /hello HTTP/1.0\r\n{ab}")),
            (Manner::AbKeepAlive, 1, format!("GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n{ab}")),
        ] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            // Two requests, over one connection or two, and then an answer that is none.
            let server = std::thread::spawn(move || {
                let mut got = String::new();
                let (mut stream, mut bytes) = (None, [0; 1024]);
                for (nth, status) in ["200 OK", "200 OK", "503 No"].into_iter().enumerate() {
                    if stream.is_none() || connections == 2 {
                        stream = Some(listener.accept().unwrap().0);
                    }
                    let stream: &mut std::net::TcpStream = stream.as_mut().unwrap();
                    let length = stream.read(&mut bytes).unwrap();
                    got += if nth < 2 { std::str::from_utf8(&bytes[..length]).unwrap() } else { "" };
                    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok").unwrap();
                }
                got.replace(&port.to_string(), "PORT")
            });
            let mut client = Client::new(manner, port).unwrap();
            assert!(client.ask().is_ok() && client.ask().is_ok());
            assert_eq!(client.ask().unwrap_err().to_string(), "it answered 503: ok");
            assert_eq!(server.join().unwrap(), wanted.repeat(2));
        }
    }
}
