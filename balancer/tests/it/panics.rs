//! A panic of our own ends the exchange in which it happens, and nothing else.

use std::rc::Rc;

use ::balancer::config;
use ::balancer::drain::drain;
use ::balancer::listen::{Client as Connected, Refusal, Server, Service, open};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::runtime::{Builder, LocalOptions};

use super::harness::{Client, Ended};

/// Answers all but `/panic`.
struct Panicking;

impl Service for Panicking {
    type Connection = ();
    type Body = String;

    fn connected(&self, _: &Rc<Connected>) {}

    async fn answer(&self, _: Rc<()>, request: Request<Incoming>) -> Response<String> {
        assert_ne!(request.uri().path(), "/panic", "as this test wants it");
        Response::new("fine".to_owned())
    }

    fn refused(&self, _: &Connected, _: Refusal) -> HeaderValue {
        HeaderValue::from_static("refused")
    }
}

#[test]
fn a_panic_ends_its_exchange_and_no_other() {
    let file = "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n";
    let config = config::parse(file, "lb.toml").unwrap();
    let listener = open(&config.listen[0], &config.listen, 1).unwrap();
    let config::ListenAddress::Tcp(address) = listener.address.clone() else { panic!("not TCP") };
    let (_drain, draining) = drain();
    let shortest = config.client.header_timeout;
    let (mut servers, _control) =
        Server::for_threads(1, 100, &[listener], &config.client, shortest, &draining).unwrap();
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
