//! Clients that ask at an even pace while workers are replaced.
//!
//! Decides when each sets out and what counts as served. Called by the scenarios. Never asks twice for what failed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::schedule::{Asked, HOSTS, Pace};
use super::tally::Sent;
use crate::crowd::Clients;
use crate::crowd::visit::{End, Fault, Progress, progress};
use crate::failure::Failure;

/// A load that goes on until it is ended.
pub(super) struct Load {
    shared: Arc<Shared>,
    /// They end with this value.
    _clients: Clients,
}

struct Shared {
    address: SocketAddr,
    pace: Pace,
    /// First letter of the ids.
    prefix: char,
    started: Instant,
    next: AtomicU64,
    /// Left out because they were too late.
    skipped: AtomicU64,
    stopping: AtomicBool,
    open: AtomicU64,
    sent: Mutex<Vec<Sent>>,
}

impl Load {
    /// Sends to a port of 127.0.0.1 on so many connections; the ids of its requests begin with `prefix`.
    pub(super) fn start(port: u16, rate: f64, connections: u32, prefix: char) -> Result<Load, Failure> {
        let clients = Clients::start()?;
        let shared = Arc::new(Shared {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            pace: Pace { rate },
            prefix,
            started: Instant::now(),
            next: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            open: AtomicU64::new(connections.into()),
            sent: Mutex::default(),
        });
        for _ in 0..connections {
            clients.handle.spawn(Arc::clone(&shared).ask_again_and_again());
        }
        Ok(Load { shared, _clients: clients })
    }

    /// Since its start.
    pub(super) fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Requests that were left out because the clients were too late: more than the machine could do.
    pub(super) fn skipped(&self) -> u64 {
        self.shared.skipped.load(Ordering::Relaxed)
    }

    /// Whether all clients have ended after [`Load::stop`].
    pub(super) fn has_ended(&self) -> bool {
        self.shared.open.load(Ordering::SeqCst) == 0
    }

    /// No request more; those under way are waited for.
    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
    }

    /// All that have ended until now.
    pub(super) fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    async fn ask_again_and_again(self: Arc<Self>) {
        let mut connection = None;
        while let Some((number, due)) = self.next() {
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                sleep(left).await;
            }
            if self.stopping.load(Ordering::SeqCst) {
                break;
            }
            let asked = timeout(PATIENCE, self.ask(&mut connection, number)).await;
            let (end, said) = asked.unwrap_or((End::Failed(Fault::TimedOut), None));
            if Asked::of(number).close || !matches!(end, End::Answered { status: 200, .. }) {
                connection = None;
            }
            let (now, at) = (Instant::now(), self.started.elapsed());
            let sent = Sent { number, at, latency: now - due, end, said };
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// The next request's number and when it is due; `None` once it is over.
    fn next(&self) -> Option<(u64, Instant)> {
        if self.stopping.load(Ordering::SeqCst) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(later) = self.pace.skip_to(number, self.started.elapsed()) {
            let before = self.next.fetch_max(later, Ordering::Relaxed);
            self.skipped.fetch_add(later.saturating_sub(before), Ordering::Relaxed);
        }
        // One that always waits for an answer is due when it sets out.
        let due = if self.pace.rate.is_finite() { self.started + self.pace.due(number) } else { Instant::now() };
        Some((number, due))
    }

    async fn ask(&self, connection: &mut Option<TcpStream>, number: u64) -> (End, Option<String>) {
        let failed = |fault| (End::Failed(fault), None);
        let stream = match connection {
            Some(stream) => stream,
            None => match TcpStream::connect(self.address).await {
                Ok(stream) => {
                    // Not set, a large body would wait for an acknowledgement. That it cannot be set is no fault of the balancer's.
                    let _ = stream.set_nodelay(true);
                    connection.insert(stream)
                }
                Err(_) => return failed(Fault::Unconnected),
            },
        };
        if stream.write_all(&request(self.prefix, number)).await.is_err() {
            return failed(Fault::Cut);
        }
        let mut bytes = Vec::with_capacity(512);
        loop {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return failed(Fault::Cut),
                Ok(_) if bytes.len() > ANSWER_BYTES_MAX => return failed(Fault::Rubbish),
                Ok(_) => {}
            }
            if let Progress::Whole(end) = progress(&bytes, false) {
                return judged(end, &bytes, number);
            }
        }
    }
}

/// A 200 has to be the answer to this request; what others say is kept.
fn judged(end: End, bytes: &[u8], number: u64) -> (End, Option<String>) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    match end {
        End::Answered { status: 200, .. } => {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            let run = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-run")).map(|(_, value)| value.trim());
            let own = run == Some(number.to_string().as_str());
            (if own { end } else { End::Failed(Fault::Foreign) }, None)
        }
        _ => (end, Some(body.trim().chars().take(200).collect())),
    }
}

fn request(prefix: char, number: u64) -> Vec<u8> {
    let asked = Asked::of(number);
    let method = if asked.post { "POST" } else { "GET" };
    let mut text = format!("{method} /headers?x-run={number} HTTP/1.1\r\nHost: {}\r\n", HOSTS[asked.host]);
    if asked.close {
        text += "Connection: close\r\n";
    }
    if asked.post {
        text += &format!("X-Test-Id: {prefix}{number}\r\nContent-Length: {}\r\n", asked.length);
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len() + asked.length, b'z');
    bytes
}

/// A client that is not answered by then has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_and_a_post_alone_has_an_id() {
        let text = |number| String::from_utf8(request('r', number)).unwrap();
        assert_eq!(text(0), "GET /headers?x-run=0 HTTP/1.1\r\nHost: first.test\r\n\r\n");
        let post = text(3);
        assert!(post.starts_with("POST /headers?x-run=3 HTTP/1.1\r\nHost: second.test\r\nX-Test-Id: r3\r\n"), "{post}");
        assert!(post.ends_with("Content-Length: 20\r\n\r\nzzzzzzzzzzzzzzzzzzzz"), "{post}");
    }

    #[test]
    fn an_answer_to_another_request_is_none() {
        let answered = |status| End::Answered { status, retry_after: false };
        let answer = b"HTTP/1.1 200 OK\r\nX-Run: 17\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(judged(answered(200), answer, 17), (answered(200), None));
        assert_eq!(judged(answered(200), answer, 1), (End::Failed(Fault::Foreign), None));
        let refusal = b"HTTP/1.1 502 Bad Gateway\r\n\r\n502 Bad Gateway: closed_early\n";
        assert_eq!(
            judged(answered(502), refusal, 1),
            (answered(502), Some("502 Bad Gateway: closed_early".to_owned()))
        );
    }
}
