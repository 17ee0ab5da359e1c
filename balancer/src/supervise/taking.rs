//! Whether a worker that starts takes connections, where these do not pass through us.
//!
//! Decides by what tells one worker from its fellows, for the address is the same for all. Called as a task by `minding`, which bounds
//! it with `ready_timeout`. Never looks at a worker that was ready once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::place::whose::has_listener;
use super::process::kin::Kin;
use super::ready::{LastAnswer, ask};
use crate::config::{Address, Host, Mode, Question, Ready, Sharing, Workers};
use crate::net::{Encryption, Family, Socket, get_over};
use crate::share::Taker;

/// Returns once the worker takes connections; until then, `last` has why not.
pub(super) async fn until_taking(
    taker: &Taker,
    workers: &Workers,
    address: &Address,
    (kin, line, last): (&Kin, &Notify, &LastAnswer),
) {
    match &workers.ready {
        Ready::Line(_) => line.notified().await,
        Ready::Alive(time) => sleep(*time).await,
        Ready::Answer(_) | Ready::Connect | Ready::Path(_) => {}
    }
    let Some(Sharing { mode, address: place }) = workers.sharing else { return };
    let by_itself = matches!(workers.ready, Ready::Line(_) | Ready::Alive(_));
    match mode {
        // Somebody has to take it, whoever that is: a program that ignores its descriptor 3 runs well and serves nobody.
        Mode::Shared => {
            last.set(format!(
                "nobody answers at {address}: does the program accept from the socket that is its descriptor 3?"
            ));
            let (reachable, question) = (reachable(address, place), Question::of("/"));
            // `config` refuses TLS for these.
            until(|| async { ask(&reachable, &Encryption::default(), &question).await.is_ok() }).await;
        }
        Mode::ReusePort => {
            last.set(format!("it does not listen on {address}: does the program set SO_REUSEPORT and listen where $HOST and $PORT say?"));
            until(|| has_listener(place, kin)).await;
        }
        Mode::Handoff if by_itself => {}
        Mode::Handoff => {
            last.set(
                "it answers nothing on a connection that it was handed: does the program read its descriptor 3?"
                    .to_owned(),
            );
            until(|| is_answered(taker, &workers.ready, address)).await;
        }
    }
    last.take();
}

/// Whether a question is answered over a connection that this worker was handed.
async fn is_answered(taker: &Taker, ready: &Ready, address: &Address) -> bool {
    let (question, all) = match ready {
        Ready::Path(question) => (question, false),
        Ready::Answer(question) => (question, true),
        Ready::Line(_) | Ready::Alive(_) | Ready::Connect => return true,
    };
    let Some(Ok(socket)) = taker.call() else { return false };
    match get_over(Socket::bare(socket, Family::Tcp), address, question).await {
        Ok(answer) => {
            let status = answer.status;
            answer.finish().await;
            all || (200..400).contains(&status)
        }
        Err(_) => false,
    }
}

/// Asks until the answer is yes.
async fn until<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    let mut pause = PAUSE_MIN;
    while !matches!(timeout(ATTEMPT_TIMEOUT, ask()).await, Ok(true)) {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Where somebody on this machine connects who means `place`.
fn reachable(address: &Address, place: SocketAddr) -> Address {
    let host = match place.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return address.clone(),
    };
    match address {
        Address::Tcp { port, .. } => Address::Tcp { host: Host::Ip(host), port: *port },
        Address::Unix(_) => address.clone(),
    }
}

/// Long enough for a worker that compiles at its first request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
