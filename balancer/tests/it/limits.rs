//! What is too much gets its own status and reason, and the client can read the answer.

use std::collections::BTreeMap;

use super::harness::{Balancer, Client, Ended, Gate, Message, Origin, eventually, ok, pool_of};

#[test]
fn a_header_section_over_the_limit_is_431() {
    let (balancer, origin) = small();
    let long = format!("X-Long: {}\r\n", "a".repeat(9_000));
    let many = "X-A: 1\r\n".repeat(101);
    for fields in [long, many] {
        let mut client = Client::of(&balancer);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.response().status(), 431);
        client.assert_closed();
    }
    balancer.logged(&["\"status\":431", "\"reason\":\"header_too_large\""]);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_header_section_without_an_end_is_431_and_memory_stays_bounded() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let (field, letters) = (format!("X-Long: {}\r\n", "a".repeat(60_000)), "a".repeat(60_000));
    for (beginning, more, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n", &field, 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", &letters, 431),
        ("GET /", &letters, 414),
    ] {
        let mut client = Client::of(&balancer);
        client.send(beginning);
        // 64 MiB, as far as anybody takes it.
        let _ = (0..1_100).take_while(|_| client.try_send(more).is_ok()).count();
        // Who goes on sending may be reset before it reads.
        if let (text, Ended::Close) = client.rest() {
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{beginning:?}: {text}");
        }
        balancer.logged(&[&format!("\"status\":{status}")]);
    }
    assert!(balancer.memory("VmHWM") < 64 * 1024, "{} KiB", balancer.memory("VmHWM"));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_target_over_the_limit_is_414() {
    let (balancer, origin) = small();
    let target = "a".repeat(9_000);
    for request in [format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"), format!("GET /{target}")] {
        let mut client = Client::of(&balancer);
        client.send(request);
        assert_eq!(client.response().status(), 414);
        client.assert_closed();
    }
    balancer.logged(&["\"status\":414", "\"reason\":\"target_too_long\""]);
    let mut client = Client::of(&balancer);
    assert_eq!(client.get("/").status(), 200);
    client.send(format!("GET /{target}"));
    assert_eq!(client.response().status(), 414, "the second request of a connection too");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_target_of_more_than_64_kib_is_414_whatever_the_limit() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("header_bytes_max = \"256KiB\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)));
    assert_eq!(client.response().status(), 414);
    balancer.logged(&["\"reason\":\"target_too_long\""]);
}

#[test]
fn eight_thousand_bytes_of_target_are_accepted() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let target = format!("/{}", "a".repeat(8_000));
    assert_eq!(Client::of(&balancer).get(&target).status(), 200);
    assert_eq!(origin.request().target(), target);
}

#[test]
fn a_counted_body_over_the_limit_is_413_before_a_byte_reaches_a_worker() {
    let (balancer, origin) = small();
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    assert_eq!(client.response().status(), 413);
    client.assert_closed();
    balancer.logged(&["\"status\":413", "\"reason\":\"body_too_large\"", "\"attempts\":0"]);
    assert_eq!(origin.connections(), 0);
    let mut client = Client::of(&balancer);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{}", "a".repeat(1024)));
    assert_eq!(client.response().status(), 200, "the limit itself is allowed");
}

#[test]
fn a_chunked_body_over_the_limit_is_413_and_no_complete_request() {
    let (balancer, origin) = small();
    let mut client = Client::of(&balancer);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("400\r\n{0}\r\n", "a".repeat(1024)));
    // Of a body that is too large at once the worker gets nothing.
    let arrived = || (origin.connections() > 0 && origin.bytes(0).contains(&"a".repeat(1024))).then_some(());
    eventually(|| "the first chunk at the worker".into(), arrived);
    client.send("1\r\na\r\n");
    assert_eq!(client.response().status(), 413);
    client.assert_closed();
    balancer.logged(&["\"status\":413", "\"reason\":\"body_too_large\""]);
    assert_ne!(origin.request().ended, Ended::Framed);
}

#[test]
fn a_client_that_still_sends_can_read_the_answer() {
    let (balancer, _origin) = small();
    let body = vec![b'a'; 900_000];
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let malformed = "GET / HTTP/1.1\r\nHost a\r\n\r\n".to_owned();
    for (head, status) in [(head, 413), (malformed, 400)] {
        let mut client = Client::of(&balancer);
        // In one piece, so that there is something to read behind the answer.
        client.send([head.as_bytes(), &body].concat());
        let response = client.response();
        assert_eq!((response.status(), response.ended), (status, Ended::Framed));
        client.assert_closed();
    }
}

#[test]
fn connections_over_the_limit_get_503_and_when_to_come_back() {
    let gate = Gate::default();
    let answer = gate.clone();
    let origin = Origin::start(
        move |mut exchange| {
            while exchange.request().is_some() && answer.wait() && exchange.send(ok("1")) {}
        },
    );
    let balancer = Balancer::start("connections_max = 2", &pool_of(&[&origin]));
    let mut first = Client::of(&balancer);
    let mut second = Client::of(&balancer);
    for client in [&mut first, &mut second] {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    origin.await_requests(2);
    let mut third = Client::of(&balancer);
    let response = third.response();
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("1")));
    assert_eq!(response.field("connection"), Some("close"));
    third.assert_closed();
    balancer.logged(&["\"status\":503", "\"reason\":\"connections_max\""]);
    gate.open();
    assert_eq!((first.response().status(), second.response().status()), (200, 200));
    drop((first, second, third));
    let served = || {
        let mut client = Client::of(&balancer);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        (client.response().status() == 200).then_some(())
    };
    eventually(|| "a place after others have left".into(), served);
}

/// An endpoint that answers once the gate is open, and the tables that give it `/held` and `origin` everything else.
fn beside_held(gate: &Gate, origin: &Origin) -> (Origin, String) {
    let slow = gate.clone();
    let held = Origin::start(
        move |mut exchange| {
            while exchange.request().is_some() && slow.wait() && exchange.send(ok("held")) {}
        },
    );
    let tables = format!(
        "[pool.held]\nendpoints = [\"{}\"]\n{}[[route]]\npool = \"app\"\n[[route]]\npath = \"/held\"\npool = \"held\"\n",
        held.address(),
        pool_of(&[origin])
    );
    (held, tables)
}

#[test]
fn idle_connections_of_the_client_that_has_most_make_room_and_active_ones_stay() {
    let (gate, origin) = (Gate::default(), Origin::named("1"));
    let (held, tables) = beside_held(&gate, &origin);
    let balancer = Balancer::start("threads = 2\nconnections_max = 12", &tables);
    let from = |last: u8| Client::from([127, 0, 0, last].into(), balancer.address());
    let mut active = from(2);
    active.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    held.await_requests(1);
    let mut one = from(1);
    assert_eq!(one.get("/").text(), "1");
    // Those that have asked for something, and those that have not.
    let mut strangers: Vec<Client> = (0..10).map(|_| from(2)).collect();
    strangers.iter_mut().take(5).for_each(|client| assert_eq!(client.get("/").text(), "1"));
    balancer.await_parked(11);
    let mut others: Vec<Client> = (0..5).map(|_| from(3)).collect();
    for client in &mut others {
        assert_eq!(client.get("/").text(), "1");
    }
    assert_eq!(one.get("/").text(), "1");
    gate.open();
    assert_eq!(active.response().text(), "held");
    assert_eq!(balancer.count_logged(&["connections_max"]), 0);
    balancer.logged(&["\"target\":\"/held\""]);
}

#[test]
fn a_client_that_asks_nothing_on_many_connections_makes_room_for_others() {
    let origin = Origin::named("1");
    let balancer = Balancer::start("threads = 2\nconnections_max = 16", &pool_of(&[&origin]));
    let from = |last: u8| Client::from([127, 0, 0, last].into(), balancer.address());
    let mut idle: Vec<Client> = (0..3).map(|_| from(1)).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "1"));
    balancer.await_parked(3);
    // All but the last place, which is left to others.
    let mut many: Vec<Client> = (0..12).map(|_| from(2)).collect();
    for client in &mut many {
        assert_eq!(client.get("/").text(), "1");
        client.send("G");
    }
    let mut more: Vec<Client> = (0..4).map(|_| from(2)).collect();
    for client in &mut more {
        assert_eq!(client.response().status(), 503, "nobody makes room for who has most");
    }
    let mut others: Vec<Client> = (0..6)
        .map(|_| {
            let mut client = from(3);
            assert_eq!(client.get("/").text(), "1");
            client
        })
        .collect();
    others.iter_mut().chain(&mut idle).for_each(|client| assert_eq!(client.get("/").text(), "1"));
    // No more than had to.
    let goes_on = |client: &mut Client| {
        client.try_send("ET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").is_ok()
            && client.rest().0.starts_with("HTTP/1.1 200")
    };
    assert!(many.iter_mut().map(goes_on).filter(|served| *served).count() >= 7);
}

#[test]
fn a_client_with_requests_on_most_connections_leaves_some_to_others_and_is_not_cut() {
    let (gate, origin) = (Gate::default(), Origin::named("1"));
    let (held, tables) = beside_held(&gate, &origin);
    let balancer = Balancer::start("threads = 2\nconnections_max = 32", &tables);
    let from = |last: u8| Client::from([127, 0, 0, last].into(), balancer.address());
    let mut idle = from(1);
    assert_eq!(idle.get("/").text(), "1");
    balancer.await_parked(1);
    // All but a sixteenth.
    let mut many: Vec<Client> = (0..29).map(|_| from(2)).collect();
    many.iter_mut().for_each(|client| client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n"));
    held.await_requests(29);
    for _ in 0..4 {
        assert_eq!(from(2).response().status(), 503);
        let mut other = from(3);
        other.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(other.response().text(), "1");
    }
    assert_eq!(idle.get("/").text(), "1");
    gate.open();
    many.iter_mut().for_each(|client| assert_eq!(client.response().text(), "held"));
}

#[test]
fn every_client_is_answered_when_there_are_too_few_descriptors_for_all() {
    let origin = Origin::named("1");
    // With so few that even those who are told use them up.
    for (descriptors, top, least) in [(500, "threads = 2", 122), (70, "threads = 2\nconnections_max = 100000", 0)] {
        let mut balancer = Balancer::start_with_descriptors(descriptors, top, &pool_of(&[&origin]));
        if least > 0 {
            balancer.await_stderr(&format!("{descriptors} descriptors; at most {least} client connections"));
        }
        if top.contains("connections_max") {
            balancer.await_stderr("connections_max = 100000 is limited to 1");
        }
        let mut clients: Vec<Client> = (0..1_000)
            .map(|_| {
                // At once: who is idle makes room for others. Those that have been refused by now may be closed.
                let mut client = Client::of(&balancer);
                let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            })
            .collect();
        let (mut served, mut answers) = (0, BTreeMap::<_, usize>::new());
        for client in &mut clients {
            let response = client.response();
            match response.status() {
                200 => served += 1,
                503 => assert!(response.field("retry-after").is_some(), "{response:?}"),
                _ => panic!("{response:?}"),
            }
            *answers.entry(response.text().lines().next().map(str::to_owned)).or_default() += 1;
        }
        assert!(served >= least, "{answers:?}");
        let reason = if top.contains("connections_max") { "descriptor_limit" } else { "connections_max" };
        balancer.logged(&["\"status\":503", &format!("\"reason\":\"{reason}\"")]);
        drop(clients);
        let again = || {
            let mut client = Client::of(&balancer);
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            (client.response().status() == 200).then_some(())
        };
        eventually(|| "served as before".into(), again);
        assert!(!balancer.has_ended());
    }
}

#[test]
fn malformed_requests_are_400_and_a_clean_close() {
    let (balancer, origin) = small();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nSpace : 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut client = Client::of(&balancer);
        client.send(request);
        let response = client.response();
        assert_eq!(response.status(), 400, "{request:?}");
        client.assert_closed();
    }
    balancer.logged(&["\"status\":400", "\"reason\":\"bad_request\""]);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn requests_a_gateway_must_not_forward_are_refused_with_a_reason() {
    let (balancer, origin) = small();
    for (request, status, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_host"),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400, "bad_host"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501, "method_refused"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_refused"),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417, "bad_expectation"),
    ] {
        let mut client = Client::of(&balancer);
        client.send(request);
        let response = client.response();
        assert_eq!(response.status(), status, "{request:?}");
        assert!(response.text().contains(reason), "{request:?}: {response:?}");
        client.assert_closed();
        let id = response.field("x-request-id").unwrap();
        balancer.logged(&[&format!("\"id\":\"{id}\""), &format!("\"reason\":\"{reason}\""), "\"attempts\":0"]);
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_response_head_over_the_limit_is_502_and_memory_stays_bounded() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 200 OK\r\n");
        // 64 MiB, as far as anybody takes it.
        let field = format!("X-Long: {}\r\n", "a".repeat(65_000));
        for _ in 0..1_000 {
            if !exchange.send(&field) {
                break;
            }
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let response: Message = Client::of(&balancer).get("/");
    assert_eq!(response.status(), 502);
    balancer.logged(&["\"status\":502", "\"reason\":\"bad_response\""]);
    assert!(balancer.memory("VmHWM") < 64 * 1024, "{} KiB", balancer.memory("VmHWM"));
}

/// A balancer with small limits.
fn small() -> (Balancer, Origin) {
    let origin = Origin::start(|mut exchange| while exchange.request().is_some() && exchange.send(ok("1")) {});
    let balancer = Balancer::start("header_bytes_max = \"8KiB\"\nbody_bytes_max = \"1KiB\"", &pool_of(&[&origin]));
    (balancer, origin)
}

#[test]
fn a_program_without_descriptors_for_all_its_threads_says_so_and_ends() {
    let mut command = std::process::Command::new("sh");
    let config = "listen = \"127.0.0.1:0\"\nthreads = 16\ndrain_timeout = \"300ms\"\n[pool.app]\nendpoints = [\"127.0.0.1:9\"]\n";
    let file = crate::program::file("few-descriptors", config);
    command.args(["-c", "ulimit -n 48 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_balancer"), "--config"]).arg(file);
    let mut program = crate::program::Program::start(&mut command);
    assert_eq!(program.wait().code(), Some(1));
    program.stderr.until("Too many open files");
}
