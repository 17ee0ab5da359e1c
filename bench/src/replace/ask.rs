//! Clients that ask at an even pace while workers are replaced.
//!
//! Decides what each request is and what counts as its answer. Called by the scenarios. Never asks twice for what failed.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpStream;

use super::schedule::{Asked, HOSTS};
use crate::load::answer::{End, Fault, exchange, said};
use crate::load::{Clients, Load, Pace, Plan, Told, Turn, Visitor, local};
use crate::{failure::Failure, load::arrivals::evenly};

/// A load that goes on until it is stopped: `rate` requests a second on so many connections; infinite: each client asks again as soon
/// as it is answered. The ids of its requests begin with `prefix`.
pub(super) fn start(port: u16, rate: f64, connections: u32, prefix: char) -> Result<Load, Failure> {
    let (pace, clients) = if rate.is_finite() {
        (Pace::at(evenly(rate)), Clients::Forgetful(connections, BEHIND_MAX))
    } else {
        (Pace::CLOSED, Clients::Kept(connections))
    };
    Load::start(Plan { pace, clients, patience: PATIENCE }, Ask { address: local(port), prefix })
}

struct Ask {
    address: SocketAddr,
    /// First letter of the ids.
    prefix: char,
}

impl Visitor for Ask {
    async fn visit(&self, turn: Turn, kept: &mut Option<TcpStream>) -> Told {
        let (request, keep) = (request(self.prefix, turn.number), !Asked::of(turn.number).close);
        let (end, bytes) = exchange(self.address, kept, &request, keep).await;
        let (end, said) = judged(end, &bytes, turn.number);
        if !end.is_served() {
            *kept = None;
        }
        Told { end, said, well: None }
    }
}

/// A 200 has to be the answer to this request; what others say is kept.
fn judged(end: End, bytes: &[u8], number: u64) -> (End, Option<String>) {
    if !end.is_served() {
        return (end, Some(said(bytes)).filter(|said| !said.is_empty()));
    }
    let text = String::from_utf8_lossy(bytes);
    let mut fields = text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": "));
    let run = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-run")).map(|(_, value)| value.trim());
    let own = run == Some(number.to_string().as_str());
    (if own { end } else { End::Failed(Fault::Foreign) }, None)
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
const BEHIND_MAX: Duration = Duration::from_secs(1);

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
        let said = Some("502 Bad Gateway: closed_early".to_owned());
        assert_eq!(judged(answered(502), refusal, 1), (answered(502), said));
    }
}
