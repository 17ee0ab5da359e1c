//! Tunnels that are silent, and those whose peers are gone without a word.

use std::time::{Duration, Instant};

use super::harness::{Balancer, Client, Ended, Gate, Origin, eventually};
use super::slots::{ONE_SLOT, from, slots_of};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// An origin that answers each line with itself.
fn echoing() -> Origin {
    echoing_until(|| ())
}

/// The same; once its client has ended, it ends its own side after `wait`.
fn echoing_until(wait: impl Fn() + Send + Sync + 'static) -> Origin {
    Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if request.field("upgrade").is_none() {
                exchange.send(super::harness::ok("plain"));
                continue;
            }
            exchange.send(SWITCH);
            while let Some(line) = exchange.until("\n") {
                exchange.send(line);
            }
            return wait();
        }
    })
}

fn tunnel(balancer: &Balancer) -> Client {
    let mut client = Client::of(balancer);
    client.send(ASK);
    assert_eq!(client.response().status(), 101);
    client.send("hello\n");
    assert_eq!(client.until("\n"), "hello\n");
    client
}

#[test]
fn a_silent_tunnel_is_closed_after_its_idle_timeout_and_gives_its_slot_back() {
    let origin = echoing();
    let keys = format!("{ONE_SLOT}tunnel_idle_timeout = \"500ms\"\n");
    let balancer = Balancer::start("", &slots_of(&[&origin], &keys));
    let mut client = tunnel(&balancer);
    // As long as anything goes through it, it stays.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        pause(Duration::from_millis(50));
        client.send("x\n");
        assert_eq!(client.until("\n"), "x\n");
    }
    assert_eq!(Client::of(&balancer).get("/").text(), "plain");
    assert_ne!(client.rest().1, Ended::Silence);
    balancer.logged(&["\"status\":101", "\"reason\":\"tunnel_idle\""]);
}

#[test]
fn a_worker_that_does_not_end_its_side_keeps_no_slot_once_its_client_is_gone() {
    // It answers, and goes on waiting for more whatever its client does.
    let gate = Gate::default();
    let ends = gate.clone();
    let origin = echoing_until(move || _ = ends.wait());
    let balancer = Balancer::start("", &slots_of(&[&origin], &format!("{ONE_SLOT}queue_timeout = \"30s\"\n")));
    drop(tunnel(&balancer));
    let mut next = Client::of(&balancer);
    next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(next.response().text(), "plain");
    balancer.logged(&["\"status\":101", "\"reason\":\"tunnel_idle\""]);
    gate.open();
}

#[test]
fn tunnels_of_one_client_leave_half_of_the_slots_to_those_who_wait() {
    let origins = [echoing(), echoing()];
    let keys = format!("{ONE_SLOT}queue_timeout = \"8s\"\n");
    let mut balancer = Balancer::start("", &slots_of(&[&origins[0], &origins[1]], &keys));
    let (mut first, mut second) = (tunnel(&balancer), tunnel(&balancer));
    assert_eq!(from(&balancer, "127.0.0.2").get("/").text(), "plain");
    assert_ne!(second.rest().1, Ended::Silence);
    first.send("still here\n");
    assert_eq!(first.until("\n"), "still here\n");
    balancer.logged(&["\"status\":101", "\"reason\":\"place_needed\""]);
    balancer.await_stderr("the newest tunnel of client 127.0.0.1, which has 2, at ");
}

#[test]
fn event_streams_of_one_client_leave_half_of_the_slots_to_those_who_wait() {
    let origins = [(); 2].map(|()| {
        Origin::start(|mut exchange| {
            while let Some(request) = exchange.request() {
                if request.target() == "/" {
                    exchange.send(super::harness::ok("plain"));
                    continue;
                }
                exchange
                    .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
                exchange.send("8\r\ndata: 1\n\r\n");
                exchange.read_to_end();
                return;
            }
        })
    });
    let keys = format!("{ONE_SLOT}queue_timeout = \"8s\"\n");
    let balancer = Balancer::start("", &slots_of(&[&origins[0], &origins[1]], &keys));
    let mut streams = [(); 2].map(|()| {
        let mut client = Client::of(&balancer);
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        client.until("data: 1\n");
        client
    });
    assert_eq!(from(&balancer, "127.0.0.2").get("/").text(), "plain");
    let (rest, ended) = streams[1].rest();
    assert!(ended != Ended::Silence && !rest.contains("0\r\n"), "it does not look complete: {rest:?}");
    balancer.logged(&["\"status\":200", "\"reason\":\"place_needed\""]);
    assert_eq!(balancer.count_logged(&["/events"]), 1);
}

#[test]
fn without_an_idle_timeout_a_silent_tunnel_stays() {
    let origin = echoing();
    let balancer =
        Balancer::start("", &slots_of(&[&origin], "idle_timeout = \"300ms\"\nrequest_timeout = \"300ms\"\n"));
    let mut client = tunnel(&balancer);
    pause(Duration::from_secs(1));
    client.send("still here\n");
    assert_eq!(client.until("\n"), "still here\n");
}

#[test]
fn the_kernel_asks_both_peers_of_a_tunnel_whether_they_are_still_there() {
    let origin = echoing();
    let balancer = Balancer::before(&[&origin]);
    let _client = tunnel(&balancer);
    let port = |address: &str| address.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let (listens, works) = (balancer.address().port(), port(&origin.address()));
    for (local, remote) in [(Some(listens), None), (None, Some(works))] {
        // Everything that was sent is acknowledged a moment later: then only that timer is left.
        let asked = || keep_alive_timer(local, remote).filter(|seconds| (30.0..=61.0).contains(seconds));
        eventually(|| format!("a timer of a minute: {:?}", keep_alive_timer(local, remote)), asked);
    }
}

/// Seconds until a silent connection of that port is asked, as /proc/net/tcp has it (Documentation/networking/proc_net_tcp.rst).
fn keep_alive_timer(local: Option<u16>, remote: Option<u16>) -> Option<f64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let matches = |field: &str, port: Option<u16>| {
        port.is_none_or(|port| u16::from_str_radix(field.rsplit(':').next().unwrap(), 16) == Ok(port))
    };
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (timer, hundredths) = fields[5].split_once(':').unwrap();
        let established = fields[3] == "01";
        let is_it = established && timer == "02" && matches(fields[1], local) && matches(fields[2], remote);
        is_it.then(|| u64::from_str_radix(hundredths, 16).unwrap() as f64 / 100.0)
    })
}

#[expect(clippy::disallowed_methods, reason = "peers that are silent on purpose")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
