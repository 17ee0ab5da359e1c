//! The PROXY protocol: who the client is, told by a proxy in front of us, and told to endpoints.

use std::collections::BTreeSet;
use std::process::Command;

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Ended, Exchange, Gate, Message, Origin, SOON, eventually, ok, pool_of};

const FROM: &str = "proxy_protocol_from = [\"127.0.0.0/8\"]";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A header of version 2 for TCP over IPv4.
fn v2(client: [u8; 4], port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &client, &[198, 51, 100, 1], &[high, low], &[0, 80]].concat()
}

fn asked(balancer: &Balancer, header: &[u8]) -> Message {
    let mut client = Client::of(balancer);
    client.send([header, GET.as_bytes()].concat());
    client.response()
}

#[test]
fn the_client_that_a_proxy_announces_is_the_client_for_workers_log_and_hash() {
    let origins = ["1", "2", "3"].map(Origin::named);
    let pool = format!("{}policy = \"hash\"\n", pool_of(&[&origins[0], &origins[1], &origins[2]]));
    let balancer = Balancer::start(FROM, &pool);
    let mut endpoints = BTreeSet::new();
    for last in 1..=20 {
        let line = format!("PROXY TCP4 192.0.2.{last} 198.51.100.1 4711 80\r\n");
        let endpoint = asked(&balancer, line.as_bytes()).text();
        assert_eq!(asked(&balancer, &v2([192, 0, 2, last], 815)).text(), endpoint, "{last}");
        endpoints.insert(endpoint);
    }
    assert_eq!(endpoints.len(), 3, "{endpoints:?}");
    let requests: Vec<Message> = origins.iter().flat_map(Origin::requests).collect();
    for last in 1..=20 {
        let client = format!("192.0.2.{last}");
        assert_eq!(requests.iter().filter(|request| request.field("x-forwarded-for") == Some(&client)).count(), 2);
        balancer.logged(&[&format!("\"client\":\"{client}\"")]);
    }
}

#[test]
fn an_ipv6_client_is_announced_as_well() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(FROM, &pool_of(&[&origin]));
    assert_eq!(asked(&balancer, b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n").text(), "1");
    assert_eq!(origin.request().field("x-forwarded-for"), Some("2001:db8::7"));
}

#[test]
fn a_proxy_that_speaks_for_itself_or_does_not_know_counts_itself() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(FROM, &pool_of(&[&origin]));
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"] {
        assert_eq!(asked(&balancer, header).text(), "1");
    }
    assert!(origin.requests().iter().all(|request| request.field("x-forwarded-for") == Some("127.0.0.1")));
}

#[test]
fn a_header_may_come_byte_by_byte_and_counts_for_all_requests_of_its_connection() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(FROM, &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    for byte in v2([192, 0, 2, 7], 4711) {
        client.send([byte]);
    }
    client.send(GET);
    assert_eq!(client.response().text(), "1");
    // Its socket alone is kept meanwhile, and no second header is waited for.
    balancer.await_parked(1);
    assert_eq!(client.get("/again").text(), "1");
    assert!(origin.requests().iter().all(|request| request.field("x-forwarded-for") == Some("192.0.2.7")));
}

#[test]
fn an_announced_client_within_the_networks_itself_sends_no_second_header() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(FROM, &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send(format!("PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n{GET}"));
    assert_eq!(client.response().text(), "1");
    balancer.await_parked(1);
    assert_eq!(client.get("/again").text(), "1");
}

#[test]
fn an_announced_client_that_has_most_connections_leaves_some_to_others() {
    let gate = Gate::default();
    let ours = gate.clone();
    let origin = Origin::start(move |mut exchange| {
        while let Some(request) = exchange.request() {
            if (request.target() == "/held" && !ours.wait()) || !exchange.send(ok("1")) {
                return;
            }
        }
    });
    let balancer = Balancer::start(&format!("{FROM}\nconnections_max = 32"), &pool_of(&[&origin]));
    let ask = |last: u8, path: &str| {
        let mut client = Client::of(&balancer);
        let header = format!("PROXY TCP4 192.0.2.{last} 127.0.0.1 1 2\r\n");
        client.send(format!("{header}GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    };
    let mut held: Vec<Client> = (0..17).map(|_| ask(1, "/held")).collect();
    eventually(|| "more than half of the places taken".into(), || (origin.requests().len() == 17).then_some(()));
    let _other = ask(3, "/held");
    let mut more: Vec<Client> = (0..40).map(|_| ask(1, "/held")).collect();
    let refused = || balancer.count_logged(&["\"status\":503", "\"client\":\"192.0.2.1\""]);
    eventually(|| "some refused".into(), || (refused() > 20).then_some(()));
    for last in 4..8 {
        assert_eq!(ask(last, "/").response().status(), 200, "{last}");
    }
    gate.open();
    assert!(held.iter_mut().all(|client| client.response().status() == 200));
    assert!(more.iter_mut().any(|client| client.response().status() == 503));
}

#[test]
fn what_is_no_header_is_refused_with_one_line_in_the_log() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(FROM, &pool_of(&[&origin]));
    for (number, bytes) in [
        GET.as_bytes(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b___________",
        b"\r\n\r\n\0\r\nQUIT\n\x22\x11\x00\x0c____________",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\x16\x03\x01\x02\x00\x01",
        &[b'P'; 4_096],
    ]
    .iter()
    .enumerate()
    {
        let mut client = Client::of(&balancer);
        client.send(bytes);
        let refused = client.response();
        assert_eq!(refused.status(), 400, "{number}");
        assert!(refused.text().starts_with("400 Bad Request: bad_proxy_header\n"), "{}", refused.text());
        assert_ne!(client.rest().1, Ended::Silence);
        let id = refused.field("x-request-id").unwrap();
        balancer.logged(&["\"reason\":\"bad_proxy_header\"", "\"client\":\"127.0.0.1\"", id]);
        assert_eq!(balancer.count_logged(&["bad_proxy_header"]), number + 1);
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_header_that_does_not_come_is_waited_for_as_long_as_a_head() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(&format!("{FROM}\nheader_timeout = \"200ms\""), &pool_of(&[&origin]));
    for begin in ["", "PROXY TCP4 192.0.2.1", "\r\n\r\n"] {
        let mut client = Client::of(&balancer);
        client.send(begin);
        let refused = client.response();
        assert_eq!((refused.status(), refused.text().contains("slow_proxy_header")), (408, true), "{begin:?}");
    }
    // Who leaves before its header is there is no request, and no line.
    drop(Client::of(&balancer));
    assert_eq!(asked(&balancer, b"PROXY UNKNOWN\r\n").text(), "1");
    balancer.logged(&["\"status\":200"]);
    eventually(|| "three lines".into(), || (balancer.count_logged(&["\"status\":408"]) == 3).then_some(()));
}

#[test]
fn a_header_of_anybody_else_is_never_read() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("proxy_protocol_from = [\"192.0.2.0/24\"]", &pool_of(&[&origin]));
    for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..], &v2([192, 0, 2, 1], 1)] {
        let refused = asked(&balancer, header);
        assert_eq!(refused.status(), 400);
        assert!(refused.text().contains("bad_request"), "{}", refused.text());
    }
    assert_eq!(asked(&balancer, b"").text(), "1");
    assert_eq!(origin.request().field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn announced_clients_are_counted_each_for_itself_when_there_are_too_many_connections() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(&format!("{FROM}\nconnections_max = 8\nthreads = 1"), &pool_of(&[&origin]));
    // One client behind the proxy takes nearly all places and asks nothing: it makes room for another one.
    let greedy = |_| {
        let mut client = Client::of(&balancer);
        client.send(format!("PROXY TCP4 192.0.2.66 192.0.2.1 1 2\r\n{GET}"));
        assert_eq!(client.response().text(), "1");
        client
    };
    let _greedy: Vec<Client> = (0..8).map(greedy).collect();
    assert_eq!(asked(&balancer, b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n").text(), "1");
}

#[test]
fn the_networks_are_changed_by_a_reload_for_connections_to_come() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("", &pool_of(&[&origin]));
    let mut before = Client::of(&balancer);
    assert_eq!(before.get("/").text(), "1");
    let file = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{FROM}\n{text}")).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("proxy_protocol_from"), "{said}");
    assert_eq!(asked(&balancer, b"").status(), 400);
    assert_eq!(asked(&balancer, b"PROXY UNKNOWN\r\n").text(), "1");
}

#[test]
fn a_stop_waits_no_longer_for_a_header_than_a_header_may_take() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start(&format!("{FROM}\nheader_timeout = \"300ms\""), &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send("PROXY");
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
}

/// An endpoint that wants a header before the first request of each connection; what it was, and the request, are its answer.
fn announced() -> Origin {
    Origin::start(|mut exchange| {
        let Some(header) = header(&mut exchange) else { return };
        while let Some(request) = exchange.request() {
            let text = format!("{} {}", header.escape_ascii(), request.target());
            exchange.send(ok(&text));
        }
    })
}

/// Of either version, without a look at what it says.
fn header(exchange: &mut Exchange) -> Option<Vec<u8>> {
    let mut header = exchange.take(13);
    if header.starts_with(b"PROXY") {
        while !header.ends_with(b"\r\n") {
            let byte = exchange.take(1);
            header.push(*byte.first()?);
        }
    } else {
        header.extend(exchange.take(3));
        let length = usize::from(u16::from_be_bytes([*header.get(14)?, header[15]]));
        header.extend(exchange.take(length));
    }
    Some(header)
}

#[test]
fn an_endpoint_is_told_the_client_of_each_connection_and_no_two_clients_share_one() {
    for version in ["v1", "v2"] {
        let origin = announced();
        let pool = format!("{}proxy_protocol = \"{version}\"\n", pool_of(&[&origin]));
        let balancer = Balancer::start(FROM, &pool);
        let port = balancer.address().port();
        for (last, path) in [(1, "/a"), (2, "/b"), (1, "/c")] {
            let mut client = Client::of(&balancer);
            client.send(format!("PROXY TCP4 192.0.2.{last} 198.51.100.1 4711 80\r\n"));
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let expected = match version {
                "v1" => format!("PROXY TCP4 192.0.2.{last} 127.0.0.1 4711 {port}\r\n").into_bytes(),
                _ => {
                    let [high, low] = port.to_be_bytes();
                    let addresses = [192, 0, 2, last, 127, 0, 0, 1, 0x12, 0x67, high, low];
                    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &addresses].concat()
                }
            };
            assert_eq!(client.response().text(), format!("{} {path}", expected.escape_ascii()));
        }
        assert_eq!(origin.connections(), 3, "{version}");
    }
}

#[test]
fn an_endpoint_with_slots_is_told_the_client_of_each_connection_too() {
    let origin = announced();
    let balancer = Balancer::start("", &format!("{}proxy_protocol = \"v1\"\nslots = 1\n", pool_of(&[&origin])));
    for _ in 0..3 {
        let mut client = Client::of(&balancer);
        assert!(client.get("/").text().starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "));
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn probes_of_an_endpoint_that_wants_a_header_begin_with_one_of_our_own() {
    for (version, own) in [("v1", "PROXY UNKNOWN\\r\\n"), ("v2", "\\r\\n\\r\\n\\x00\\r\\nQUIT\\n \\x00\\x00\\x00")] {
        let seen = Gate::default();
        let told = seen.clone();
        let origin = Origin::start(move |mut exchange| {
            let Some(header) = header(&mut exchange) else { return };
            while let Some(request) = exchange.request() {
                if request.target() == "/health" {
                    assert_eq!(header.escape_ascii().to_string(), own);
                    told.open();
                }
                exchange.send(ok("well"));
            }
        });
        let probe = "[pool.app.probe]\npath = \"/health\"\ninterval = \"20ms\"\n";
        let pool = format!("{}proxy_protocol = \"{version}\"\n{probe}", pool_of(&[&origin]));
        let balancer = Balancer::start("", &pool);
        assert!(seen.wait());
        assert_eq!(Client::of(&balancer).get("/").text(), "well");
    }
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_can_be_a_proxy_in_front_of_us() {
    let origin = Origin::named("1");
    let balancer = Balancer::start(FROM, &pool_of(&[&origin]));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", &SOON.as_secs().to_string(), "--haproxy-protocol"]);
    let said = curl.arg(format!("http://{}/", balancer.address())).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "1", "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(origin.request().field("x-forwarded-for"), Some("127.0.0.1"));
}
