//! A panic of our own ends the exchange in which it happens, and nothing else.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::balancer::config;
use ::balancer::drain::drain;
use ::balancer::http1::{BodyLength, Fields, ResponseHead};
use ::balancer::listen::{Passed, Refusal, Server, Service, Stream, open};
use ::balancer::net::{Buffer, Peer};
use http::StatusCode;
use tokio::runtime::{Builder, LocalOptions};

use super::harness::{Client, Ended};

/// Answers all but `/panic`.
struct Panicking;

impl Service for Panicking {
    type Connection = ();

    fn connected(&self, _: Peer, _: bool) {}

    async fn answer(&self, (): &(), stream: &mut Stream) {
        assert_ne!(stream.head().unwrap().target(), "/panic", "as this test wants it");
        stream.respond(&ResponseHead::new(StatusCode::OK), BodyLength::Known(4), false);
        stream.send(Buffer::copy_of(b"fine"));
        stream.finish(&Fields::default());
        let _ = poll_fn(|cx| stream.poll_flush(cx)).await;
    }

    fn refused(&self, _: Peer, _: Instant, _: Refusal) -> String {
        "refused".to_owned()
    }
}

#[test]
fn a_panic_ends_its_exchange_and_no_other() {
    let file = "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n";
    let config = config::parse(file, "lb.toml").unwrap();
    let listener = open(&config.listen[0], &config.listen, 1, &mut Passed::default()).unwrap();
    let config::ListenAddress::Tcp(address) = listener.address.clone() else { panic!("not TCP") };
    let (_drain, draining) = drain();
    let shortest = config.client.header_timeout;
    let (mut servers, _control) =
        Server::for_threads(1, 100, &[listener], &config.client, shortest, &draining, &Arc::default()).unwrap();
    let server = servers.remove(0);
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(server.run(Rc::new(Panicking)))
    });
    let mut other = Client::at(address);
    assert_eq!(other.get("/").text(), "fine");
    for _ in 0..3 {
        let mut client = Client::at(address);
        assert_eq!(client.get("/").text(), "fine");
        client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
        let (text, ended) = client.rest();
        assert!(text.is_empty() && ended != Ended::Silence, "{ended:?} after {text:?}");
        assert_eq!(other.get("/").text(), "fine", "the same thread goes on");
    }
}
