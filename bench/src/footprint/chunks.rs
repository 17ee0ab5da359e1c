//! CPU time of a request body that comes in very small pieces.
//!
//! Decides the body and how many make a figure. Called by [`super::footprint`]. Never counts the worker's time.

use std::io::{self, Read as _, Write as _};
use std::{net::TcpStream, time::Duration};

use super::{Bench, Measured};
use crate::report::figure::{Figure, Unit};
use crate::{cpu, failure::Failure, load::local, service::Service};

/// Milliseconds of the balancer's for a POST of 8,000 chunks of one byte, 48 KB.
pub(super) fn chunks(bench: &Bench) -> Result<Measured, Failure> {
    let service = bench.start("")?;
    let (pid, request) = (service.process.pid(), request());
    let mut connection = connect(service.port).map_err(|e| Failure::system("connect to the balancer", e))?;
    let mut post = |times| post_each(&mut connection, &request, times, &service, bench);
    post(POSTS / 10)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu::of_tree(pid)?;
        post(POSTS)?;
        rounds.push((cpu::of_tree(pid)? - before).seconds() * 1e3 / f64::from(POSTS));
    }
    let what = format!("CPU of a POST of {CHUNKS} chunks of one byte, {ROUNDS} times {POSTS}");
    Ok((vec![Figure::of_rounds("", what, Unit::Milliseconds, rounds)], None))
}

fn post_each(
    connection: &mut TcpStream,
    request: &[u8],
    times: u32,
    service: &Service,
    bench: &Bench,
) -> Result<(), Failure> {
    for nth in 1..=times {
        bench.lab.events.wait_any(&[], Duration::ZERO)?;
        post(connection, request).map_err(|e| service.complaint(format!("did not take POST {nth} ({e})")))?;
    }
    Ok(())
}

fn post(connection: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    connection.write_all(request)?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    // The worker tells how much has come, and a checksum.
    while !bytes.ends_with(b"\n") || !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        match connection.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    match text.starts_with("HTTP/1.1 200 ") && text.contains(&format!("\r\n\r\n{CHUNKS} bytes, ")) {
        true => Ok(()),
        false => Err(io::Error::other(format!("it answered {text:?}"))),
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&local(port), TIME)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.set_write_timeout(Some(TIME))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request() -> Vec<u8> {
    let mut bytes = b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend_from_slice(&b"1\r\nz\r\n".repeat(CHUNKS));
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

const CHUNKS: usize = 8_000;
const POSTS: u32 = 100;
const ROUNDS: u32 = 5;
const TIME: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_post_is_whole_and_its_answer_must_say_so() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let origin = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in ["8000 bytes, fnv1a 0\n", "7999 bytes, fnv1a 0\n"] {
                let mut bytes = vec![0; request().len()];
                stream.read_exact(&mut bytes).unwrap();
                assert!(bytes == request());
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{answer}").as_bytes()).unwrap();
            }
        });
        let mut connection = connect(port).unwrap();
        post(&mut connection, &request()).unwrap();
        assert!(post(&mut connection, &request()).unwrap_err().to_string().contains("7999 bytes"));
        origin.join().unwrap();
    }
}
