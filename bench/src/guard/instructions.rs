//! Instructions per request, in user space.
//!
//! Decides how they are counted: two runs of different length under callgrind, whose difference has no start-up and no end
//! in it. Called by [`super::guard`]. Never counts the kernel's: valgrind does not see them.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::Plan;
use crate::failure::Failure;
use crate::process::describe;
use crate::say;
use crate::side::{Ground, Origin, PATH, Side};

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    KeepAlive,
    ConnectionPerRequest,
}

/// One manner, both sides.
pub(super) struct Instructions {
    pub(super) manner: &'static str,
    pub(super) requests: u32,
    /// Base and tree, instructions a request.
    pub(super) each: [f64; 2],
}

/// Counts for both sides and manners.
pub(super) fn count(
    plan: &Plan,
    valgrind: &Path,
    sides: &[Side<'_>; 2],
    origin: &Origin,
    ground: &Ground<'_>,
) -> Result<Vec<Instructions>, Failure> {
    let mut all = Vec::new();
    let manners =
        [(Manner::KeepAlive, "connection kept open"), (Manner::ConnectionPerRequest, "a connection per request")];
    for (manner, name) in manners {
        let mut each = [0.0; 2];
        for (side, each) in sides.iter().zip(&mut each) {
            let few = run(WARM_UP, manner, valgrind, side, origin, ground)?;
            let many = run(WARM_UP + plan.counted, manner, valgrind, side, origin, ground)?;
            *each = (many as f64 - few as f64) / f64::from(plan.counted);
            say(&format!("{name}: {}: {each:.0} instructions/request", side.name));
        }
        all.push(Instructions { manner: name, requests: plan.counted, each });
    }
    Ok(all)
}

/// Instructions of one balancer's whole life with so many requests.
fn run(
    requests: u32,
    manner: Manner,
    valgrind: &Path,
    side: &Side<'_>,
    origin: &Origin,
    ground: &Ground<'_>,
) -> Result<u64, Failure> {
    let file = ground.scratch.path().join("callgrind.out");
    // Left over from the run before, it would be read in place of one that was not written.
    let _ = fs::remove_file(&file);
    let words = [
        valgrind.to_string_lossy().into_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", file.display()),
    ];
    let mut service = side.start(&words, origin, ground)?;
    let (pid, mut client) = (service.process.pid(), Client::new(service.port));
    for nth in 1..=requests {
        if ground.events.wait_any(&[pid], Duration::ZERO)?.is_some() {
            return Err(service.process.ended("while it was measured"));
        }
        client.request(manner).map_err(|e| service.complaint(format!("did not answer request {nth} ({e})")))?;
    }
    drop(client);
    let status = service.process.stop(END_TIME);
    if !status.is_some_and(|status| status.success()) {
        let how = status.map_or_else(|| "it was not collected".to_owned(), describe);
        return Err(service.complaint(format!("did not end as it should under valgrind ({how})")));
    }
    let text = fs::read_to_string(&file).map_err(|e| Failure::file("read", &file, e))?;
    total(&text).ok_or_else(|| service.complaint("left no count: callgrind's file has no totals".to_owned()))
}

/// A client that asks one thing after the other.
struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(port: u16) -> Client {
        Client { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), connection: None }
    }

    fn request(&mut self, manner: Manner) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, TIME)?;
                stream.set_read_timeout(Some(TIME))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        let close = if manner == Manner::ConnectionPerRequest { "Connection: close\r\n" } else { "" };
        let text = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", self.address);
        connection.get_mut().write_all(text.as_bytes())?;
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let (mut line, mut length) = (String::new(), None);
        connection.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
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
        if manner == Manner::KeepAlive {
            self.connection = Some(connection);
        }
        Ok(())
    }
}

/// The sum callgrind writes: `totals:` or, in older files, `summary:`.
fn total(text: &str) -> Option<u64> {
    let after = |label: &str| text.lines().rev().find_map(|line| line.strip_prefix(label));
    after("totals:").or_else(|| after("summary:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Before the count: connections to the origin are open, buffers have their size.
const WARM_UP: u32 = 100;
const TIME: Duration = Duration::from_secs(10);
const END_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_where_callgrind_writes_it() {
        assert_eq!(total("version: 1\nsummary: 12\nfn=(1)\n1 2\ntotals: 123456\n"), Some(123_456));
        assert_eq!(total("summary: 12\nfn=(1)\n"), Some(12));
        assert_eq!(total("totals:\n"), None);
        assert_eq!(total(""), None);
    }
}
