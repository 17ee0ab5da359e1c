//! Whether a worker that starts can serve already.
//!
//! Decides by asking again and again, as the configuration says. Called as a task by `handle`, which bounds it with
//! `ready_timeout`. Never judges a worker that was ready once: that is what probes are for.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::slice::from_ref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Address, Question, Ready};
use crate::net::{Encryption, connect, get, get_over};

/// What was answered last, for a message: `GET /health was answered 400`.
#[derive(Debug, Clone, Default)]
pub(super) struct LastAnswer(Arc<Mutex<Option<String>>>);

/// How a worker has shown that it can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As the configuration asks.
    AsAsked,
    /// It accepts connections, and has for so long answered no question: that is all that is known.
    OnlyAccepts(Duration),
}

/// Returns when the worker at `address` can serve; `line` is notified when its output has the awaited text. `patience` is for
/// how long a worker that only accepts connections is asked for an answer.
pub(super) async fn until_ready(
    ready: &Ready,
    (address, encryption): (&Address, &Encryption),
    line: &Notify,
    patience: Duration,
    last: &LastAnswer,
) -> Shown {
    let mut pause = PAUSE_MIN;
    let (mut accepting, mut refusing): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let attempt = async {
            if let Address::Unix(path) = address
                && !matches!(ready, Ready::Line(_) | Ready::Alive(_))
                && !is_socket(path)
            {
                return Err(io::ErrorKind::NotFound.into());
            }
            match ready {
                Ready::Line(_) => {
                    line.notified().await;
                    Ok(true)
                }
                Ready::Alive(time) => {
                    sleep(*time).await;
                    Ok(true)
                }
                Ready::Connect => connect(from_ref(address), encryption).await.map(|_| true),
                Ready::Path(question) => {
                    let status = ask(address, encryption, question).await?;
                    last.note(question, status);
                    Ok((200..400).contains(&status))
                }
                Ready::Answer(question) => {
                    let socket = connect(from_ref(address), encryption).await?;
                    accepting.get_or_insert_with(Instant::now);
                    let answer = get_over(socket, address, question).await;
                    if answer.is_err() {
                        refusing.get_or_insert_with(Instant::now);
                    }
                    answer?.finish().await;
                    Ok(true)
                }
            }
        };
        // Without a limit one lost answer would use up the whole `ready_timeout`.
        let limit = match ready {
            Ready::Line(_) | Ready::Alive(_) => Duration::MAX,
            Ready::Answer(_) => ATTEMPT_TIMEOUT.min(patience),
            Ready::Connect | Ready::Path(_) => ATTEMPT_TIMEOUT,
        };
        if matches!(timeout(limit, attempt).await, Ok(Ok(true))) {
            return Shown::AsAsked;
        }
        // Who is silent may be loading; who closes, or says something else, speaks another language.
        let refusal = REFUSAL_MAX.min(patience);
        for (since, limit) in [(accepting, patience), (refusing, refusal)] {
            if since.is_some_and(|since| since.elapsed() >= limit) {
                return Shown::OnlyAccepts(limit);
            }
        }
        sleep(pause).await;
        pause = pause.mul_f64(PAUSE_GROWTH).min(PAUSE_MAX);
    }
}

impl LastAnswer {
    fn note(&self, question: &Question, status: u16) {
        let hint = match (status, &question.host) {
            // As Django and Rails do for hosts that are not theirs.
            (400 | 403 | 421, None) => " (an app that answers only its own host: add `host`)",
            _ => "",
        };
        self.set(format!("GET {} was answered {status}{hint}", question.path));
    }

    /// Another word on why it is not ready.
    pub(super) fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// It as it is now.
    pub(super) fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It, if there was one.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The status that `question` is answered with.
///
/// # Errors
/// See [`get`].
pub(super) async fn ask(address: &Address, encryption: &Encryption, question: &Question) -> io::Result<u16> {
    let answer = get(from_ref(address), encryption, address, question).await?;
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
        missing = if is_socket(path) { 0 } else { missing + 1 };
    }
}

/// Whether a socket is there, and not a link: a worker could lead us to whoever lets us in and not the worker.
pub(super) fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Long enough for a worker that compiles at its first request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a worker is asked that closes every connection without an answer of HTTP.
const REFUSAL_MAX: Duration = Duration::from_secs(3);
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

    const PATIENCE: Duration = Duration::from_secs(60);

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
        let question = Question { host: Some("app.test".into()), ..Question::of("/up?x") };
        let last = LastAnswer::default();
        until_ready(&Ready::Path(question), (&address, &Encryption::default()), &Notify::new(), PATIENCE, &last).await;
        assert_eq!(last.take().unwrap(), "GET /up?x was answered 204");
        let asked = worker.await.unwrap();
        assert_eq!(asked.len(), 4);
        assert!(asked[0].starts_with("GET /up?x HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(asked[0].contains("\r\nHost: app.test\r\n"), "{}", asked[0]);
    }

    #[tokio::test]
    async fn any_answer_of_http_shows_that_a_worker_serves() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = at(listener.local_addr().unwrap());
        let worker = tokio::spawn(async move {
            for answer in ["", "SSH-2.0-no\r\n\r\n", "HTTP/1.1 500 no\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let ready = Ready::Answer(Question::of("/"));
        let shown =
            until_ready(&ready, (&address, &Encryption::default()), &Notify::new(), PATIENCE, &LastAnswer::default())
                .await;
        assert_eq!(shown, Shown::AsAsked);
        worker.await.unwrap();
    }

    #[tokio::test]
    async fn who_accepts_and_never_answers_is_taken_for_ready_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = at(listener.local_addr().unwrap());
        let (ready, patience) = (Ready::Answer(Question::of("/")), Duration::from_millis(300));
        let begun = Instant::now();
        let shown =
            until_ready(&ready, (&address, &Encryption::default()), &Notify::new(), patience, &LastAnswer::default())
                .await;
        assert_eq!(shown, Shown::OnlyAccepts(patience));
        assert!(begun.elapsed() >= patience);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_accepts_nothing_is_never_ready() {
        let bound = tokio::net::TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let deaf = at(bound.local_addr().unwrap());
        let last = LastAnswer::default();
        let waited = timeout(
            Duration::from_secs(5),
            until_ready(&Ready::Connect, (&deaf, &Encryption::default()), &Notify::new(), PATIENCE, &last),
        )
        .await;
        assert!(waited.is_err());
    }
}
