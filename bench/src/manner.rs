//! How requests come: what a client writes, whether it keeps its connection, and what the balancer is told besides.
//!
//! Decides the bytes of each manner, which are those of the tool it is named after. Called by [`crate::guard`]
//! and [`crate::footprint`]. Never counts.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::exchange::PATH;
use crate::load::local;

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
        let ab = |connection| {
            format!(
                "GET {PATH} HTTP/1.0\r\n{connection}Host: {host}\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n"
            )
        };
        match self {
            Manner::Ab => ab(""),
            Manner::AbKeepAlive => ab("Connection: Keep-Alive\r\n"),
            Manner::KeepAlive | Manner::Slots | Manner::AccessLog => {
                format!("GET {PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            }
        }
    }
}

/// A client that asks one thing after the other.
pub(crate) struct Client {
    manner: Manner,
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Of a port of 127.0.0.1.
    pub(crate) fn new(manner: Manner, port: u16) -> Client {
        Client { manner, address: local(port), connection: None }
    }

    /// # Errors
    /// No whole answer 200, or the connection was not kept, or kept, against what was asked for.
    pub(crate) fn ask(&mut self) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, TIME)?;
                stream.set_read_timeout(Some(TIME))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        connection.get_mut().write_all(self.manner.request(self.address).as_bytes())?;
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let (mut line, mut length) = (String::new(), None);
        connection.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") && !line.starts_with("HTTP/1.0 200 ") {
            return Err(broken(&format!("it answered {:?}", line.trim_end())));
        }
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Err(broken("the answer is cut"));
            }
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()
                }
                Some(_) => {}
                None => break,
            }
        }
        let length: u16 = length.ok_or_else(|| broken("the answer has no short Content-Length"))?;
        connection.read_exact(&mut vec![0; usize::from(length)])?;
        if self.manner != Manner::Ab {
            self.connection = Some(connection);
        } else if connection.read(&mut [0])? > 0 {
            // ab reads until the end, which is the server's to send.
            return Err(broken("the answer is longer than it says"));
        }
        Ok(())
    }
}

const TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A client of a server that answers each of `connections` with these texts, a request each, and then closes; and what
    /// the server got.
    fn asked(manner: Manner, connections: &'static [&'static [&'static str]], times: usize) -> (Vec<String>, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut got = String::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in *answers {
                    let (mut bytes, mut length) = ([0; 1024], 0);
                    while !bytes[..length].ends_with(b"\r\n\r\n") {
                        length += stream.read(&mut bytes[length..]).unwrap();
                    }
                    got += std::str::from_utf8(&bytes[..length]).unwrap();
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            got.replace(&port.to_string(), "PORT")
        });
        let mut client = Client::new(manner, port);
        let said = (0..times).map(|_| client.ask().err().map_or_else(String::new, |e| e.to_string())).collect();
        drop(client);
        (said, server.join().unwrap())
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const OLD: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";

    #[test]
    fn a_client_writes_what_the_tool_writes() {
        let (said, got) = asked(Manner::KeepAlive, &[&[OK, OK]], 2);
        assert_eq!(said, ["", ""]);
        assert_eq!(got, "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n".repeat(2));
        let ab = "Host: 127.0.0.1:PORT\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n";
        let (said, got) = asked(Manner::Ab, &[&[OLD], &[OK]], 2);
        assert_eq!((said, got), (vec![String::new(); 2], format!("GET /hello HTTP/1.0\r\n{ab}").repeat(2)));
        let (said, got) = asked(Manner::AbKeepAlive, &[&[OK, OK]], 2);
        let kept = format!("GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n{ab}");
        assert_eq!((said, got), (vec![String::new(); 2], kept.repeat(2)));
    }

    #[test]
    fn an_answer_that_is_not_the_one_is_refused() {
        for (manner, answer, why) in [
            (Manner::Slots, &[&["HTTP/1.1 503 No\r\n\r\n"] as &[&str]] as &[&[&str]], "it answered"),
            (Manner::AccessLog, &[&["HTTP/1.1 200 OK\r\nDate: x\r\n"]], "the answer is cut"),
            (Manner::KeepAlive, &[&["HTTP/1.1 200 OK\r\nDate: x\r\n\r\n"]], "no short Content-Length"),
            (Manner::Ab, &[&["HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nokay"]], "longer than it says"),
        ] {
            let (said, _) = asked(manner, answer, 1);
            assert!(said[0].contains(why), "{said:?}");
        }
    }
}
