//! Whether a worker that starts can serve already.
//!
//! Decides by asking again and again, as the configuration says. Called as a task by `handle`, which bounds it with
//! `ready_timeout`. Never judges a worker that was ready once: that is what probes are for.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::config::{Address, Ready};
use crate::net::{connect, get};

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
                Ready::Connect => connect(address).await.map(|_| true),
                Ready::Path(path) => ask(address, path).await.map(|status| (200..400).contains(&status)),
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

/// The status that a plain GET of `path` is answered with.
///
/// # Errors
/// See [`get`].
pub(super) async fn ask(address: &Address, path: &str) -> io::Result<u16> {
    let answer = get(address, path).await?;
    let status = answer.status;
    answer.finish().await;
    Ok(status)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Host;

    fn at(address: std::net::SocketAddr) -> Address {
        Address::Tcp { host: Host::Ip(address.ip()), port: address.port() }
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
