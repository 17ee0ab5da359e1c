//! What the tests of the data plane are made of: the real program, scripted origins, clients that send bytes.
//!
//! Every wait has a bound and says what it waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod balancer;
pub(crate) mod browser;
mod client;
pub(crate) mod hosts;
#[cfg(feature = "http2")]
pub(crate) mod http2;
mod message;
pub(crate) mod names;
mod origin;
pub(crate) mod pebble;
pub(crate) mod secure;
pub(crate) mod secure_origin;
mod stubborn;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(crate) use balancer::{Balancer, passing};
pub(crate) use client::Client;
pub(crate) use message::{Ended, Message};
pub(crate) use origin::{Exchange, Origin};
pub(crate) use stubborn::{Deaf, Refusing};

/// The text of pool `app` in front of `origins`; keys of the pool may follow.
pub(crate) fn pool_of(origins: &[&Origin]) -> String {
    let addresses: Vec<String> = origins.iter().map(|origin| origin.address()).collect();
    pool_at(&addresses)
}

/// The text of pool `app` in front of `addresses`.
pub(crate) fn pool_at(addresses: &[String]) -> String {
    format!("[pool.app]\nendpoints = {addresses:?}\n")
}

/// A response with a length.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Something that happens once and can be waited for.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether it was opened within the patience of a test.
    pub(crate) fn wait(&self) -> bool {
        let open = self.0.0.lock().unwrap();
        *self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap().0
    }
}

/// Asks again and again until there is an answer.
#[expect(clippy::disallowed_methods, reason = "a thread of a test, not of a proxy")]
pub(crate) fn eventually<T>(what: impl FnOnce() -> String, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    panic!("not within {PATIENCE:?}: {}", what());
}

/// A port that nobody has, as far as one can tell.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A directory of its own, and short enough for the path of a socket.
pub(crate) fn directory() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("balancer-it-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// More than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// At once, as a busy machine does it; what is not done by then waits for something that takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(5);
