//! Whether a worker that starts can serve already.
//!
//! Decides by asking again and again, as the configuration says. Called as a task by `handle`, which bounds it with
//! `ready_timeout`. Never judges a worker that was ready once: that is what probes are for.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::config::{Address, Host, Ready};

/// Returns when the worker at `address` can serve; `line` is notified when its output has the awaited text.
pub(super) async fn until_ready(ready: &Ready, address: &Address, line: &Notify) {
    let mut pause = PAUSE_MIN;
    loop {
        let attempt = async {
            match ready {
                Ready::Line(_) => {
                    line.notified().await;
                    Ok(true)
                }
                Ready::Connect => match address {
                    Address::Tcp { host, port } => connect(host, *port).await.map(|_| true),
                    Address::Unix(path) => UnixStream::connect(path).await.map(|_| true),
                },
                Ready::Path(target) => ask(address, target).await.map(|status| (200..400).contains(&status)),
            }
        };
        // Without a limit one lost answer would use up the whole `ready_timeout`.
        if matches!(timeout(ATTEMPT_TIMEOUT, attempt).await, Ok(Ok(true))) {
            return;
        }
        sleep(pause).await;
        pause = pause.mul_f64(PAUSE_GROWTH).min(PAUSE_MAX);
    }
}

/// The status that a plain GET of `target` is answered with.
///
/// # Errors
/// Those of connecting and of the connection, and an answer that is not HTTP/1.
pub(super) async fn ask(address: &Address, target: &str) -> io::Result<u16> {
    match address {
        Address::Tcp { host, port } => ask_on(connect(host, *port).await?, &address.to_string(), target).await,
        // A path cannot stand in `Host`; this is what curl says.
        Address::Unix(path) => ask_on(UnixStream::connect(path).await?, "localhost", target).await,
    }
}

/// Returns when the socket at `path` is gone for good: no new connection can reach whoever listened there.
pub(super) async fn until_gone(path: &Path) {
    let mut missing = 0;
    // Twice, for a worker may put a new one in its place.
    while missing < 2 {
        sleep(LOOK_AGAIN).await;
        missing = if path.exists() { 0 } else { missing + 1 };
    }
}

async fn connect(host: &Host, port: u16) -> io::Result<TcpStream> {
    let stream = match host {
        Host::Ip(ip) => TcpStream::connect((*ip, port)).await?,
        Host::Name(name) => TcpStream::connect((name.as_str(), port)).await?,
    };
    // The kernel may give the connection that very port on our side, and then connects it to itself: nobody listens.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Whether a plain GET is answered with 200 to 399. Only the status is looked at, so this is no HTTP client.
async fn ask_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, target: &str) -> io::Result<u16> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: balancer\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut line).await?;
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1");
    let status = status(&line).ok_or_else(no_http)?;
    // A worker whose answer is refused halfway may take that for an error, so it is read to its end, within reason.
    let mut rest = stream.take(ANSWER_BYTES_MAX);
    let _ = timeout(ANSWER_REST_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(status)
}

/// The status code of a status line (RFC 9112 section 4), up to the byte behind the code.
fn status(line: &[u8; STATUS_LINE_BYTES]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (code, behind) = code.split_at_checked(3)?;
    let code = code.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(code).ok()?.parse().ok())?;
    code.filter(|_| matches!(behind, b" " | b"\r" | b"\n"))
}

/// `HTTP/1.1 200` and one byte more.
const STATUS_LINE_BYTES: usize = 13;
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
const ANSWER_REST_TIMEOUT: Duration = Duration::from_secs(1);
/// Long enough for a worker that compiles at its first request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// A look at a port costs little, and a worker that is replaced in a hurry is found soon after it listens.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);
const PAUSE_GROWTH: f64 = 1.3;
/// Between two looks at a worker's socket.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn at(address: std::net::SocketAddr) -> Address {
        Address::Tcp { host: Host::Ip(address.ip()), port: address.port() }
    }

    #[test]
    fn only_a_status_line_has_a_status() {
        for (line, code) in [
            (b"HTTP/1.1 200 ", Some(200)),
            (b"HTTP/1.0 404\r", Some(404)),
            (b"HTTP/1.1 2000", None),
            (b"HTTP/1.1 +20 ", None),
            (b"HTTP/2.0 200 ", None),
            (b"SSH-2.0-OpenS", None),
        ] {
            assert_eq!(status(line), code, "{}", line.escape_ascii());
        }
    }

    #[tokio::test]
    async fn a_worker_is_ready_with_its_first_good_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = at(listener.local_addr().unwrap());
        let worker = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in ["", "rubbish, and more of it\r\n", "HTTP/1.1 503 no\r\n\r\n", "HTTP/1.1 204 yes\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                asked.push(String::from_utf8(request[..length].to_vec()).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        until_ready(&Ready::Path("/up?x".into()), &address, &Notify::new()).await;
        let asked = worker.await.unwrap();
        assert_eq!(asked.len(), 4);
        assert!(asked[0].starts_with("GET /up?x HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(asked[0].contains(&format!("\r\nHost: {address}\r\n")), "{}", asked[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_accepts_nothing_is_never_ready() {
        let bound = tokio::net::TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let deaf = at(bound.local_addr().unwrap());
        let waited = timeout(Duration::from_secs(5), until_ready(&Ready::Connect, &deaf, &Notify::new())).await;
        assert!(waited.is_err());
    }
}
