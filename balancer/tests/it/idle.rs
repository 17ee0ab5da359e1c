//! Client connections between two requests: taken apart, and built again by a byte.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Ended, Origin, eventually, pool_of};

#[test]
fn an_idle_connection_is_parked_and_serves_again() {
    let (one, two) = (Origin::named("1"), Origin::named("2"));
    let balancer = Balancer::before(&[&one, &two]);
    let mut client = Client::of(&balancer);
    for expected in ["1", "2", "1"] {
        assert_eq!(client.get("/").text(), expected);
        balancer.await_parked(1);
    }
}

#[test]
fn a_connection_without_a_request_yet_is_parked_too() {
    let origin = Origin::named("1");
    let path = super::harness::directory().join("lb.sock");
    let top = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let balancer = Balancer::start(&top, &pool_of(&[&origin]));
    let mut clients = [Client::of(&balancer), Client::unix(&path)];
    balancer.await_parked(2);
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "1");
    }
    balancer.await_parked(2);
}

#[test]
fn a_parked_connection_takes_no_memory_to_speak_of() {
    let origin = Origin::named("1");
    // What is kept of the last requests would grow meanwhile.
    let pools = format!("{}\n[admin]\nexplain = false\n", pool_of(&[&origin]));
    let balancer = Balancer::start("threads = 1", &pools);
    let connect = |count| -> Vec<Client> {
        let connect = |_| {
            let mut client = Client::of(&balancer);
            assert_eq!(client.get("/").text(), "1");
            client
        };
        (0..count).map(connect).collect()
    };
    // What the first ones need stays for those that follow.
    let mut clients = connect(100);
    balancer.await_parked(100);
    let before = balancer.memory("VmRSS");
    for _ in 0..3 {
        clients.extend(connect(250));
        balancer.await_parked(clients.len());
    }
    let each = || balancer.memory("VmRSS").saturating_sub(before) * 1024 / 750;
    // The allocator gives back what it has no use for after a while.
    eventually(
        || format!("less than 4 KiB for each, not {}; a connection that is not taken apart has 18,000", each()),
        || (each() < 4_096).then_some(()),
    );
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "1");
    }
}

#[test]
fn a_parked_connection_is_closed_when_its_time_is_over() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("keep_alive_timeout = \"1500ms\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.get("/");
    let begun = Instant::now();
    balancer.await_parked(1);
    client.assert_closed();
    let lived = begun.elapsed();
    assert!(lived > Duration::from_millis(1_400), "the time it was awake counts, and no more: {lived:?}");
    assert_eq!(balancer.parked(), 0);
}

#[test]
fn a_client_that_leaves_while_parked_is_forgotten() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::of(&balancer)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "1"));
    balancer.await_parked(3);
    clients.pop().unwrap().reset();
    balancer.await_parked(2);
    drop(clients.pop());
    balancer.await_parked(1);
    clients[0].half_close();
    clients[0].assert_closed();
    assert_eq!(balancer.parked(), 0);
}

#[test]
fn a_stop_closes_what_is_parked_at_once() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("drain_timeout = \"1h\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.get("/");
    balancer.await_parked(1);
    balancer.signal(Signal::SIGTERM);
    client.assert_closed();
    assert!(balancer.ended().success());
}

#[test]
fn the_beginning_of_a_request_is_not_lost_however_long_the_rest_takes() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    // The second begins in the packet of the first, the third with a byte that wakes.
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo");
    assert_eq!(client.response().text(), "1");
    let mut idle = Client::of(&balancer);
    idle.get("/");
    // By now the other would be parked as well.
    balancer.await_parked(1);
    client.send("st: a\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    balancer.await_parked(2);
    client.send("G");
    balancer.await_parked(1);
    client.send("ET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    let lines: Vec<String> = origin.requests().iter().map(|request| request.line.clone()).collect();
    assert_eq!(lines, ["GET /1 HTTP/1.1", "GET / HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
}

#[test]
fn half_a_header_section_has_the_header_timeout_whatever_it_came_with() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_timeout = \"300ms\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo");
    assert_eq!(client.response().text(), "1");
    assert_eq!(client.response().status(), 408);
    assert_eq!(client.rest().1, Ended::Close);
    let mut client = Client::of(&balancer);
    client.get("/");
    balancer.await_parked(1);
    client.send("G");
    assert_eq!(client.response().status(), 408);
}
