//! Which fields go on, which stay, which are ours.

use super::harness::{Balancer, Client, Ended, Message, Origin, pool_of};

#[test]
fn what_a_worker_gets_is_the_clients_and_ours() {
    let request = seen("GET /a?b=c HTTP/1.1\r\nHost: app.test:8080\r\nAccept: text/*\r\nCookie: a=1\r\n\r\n");
    assert_eq!(request.line, "GET /a?b=c HTTP/1.1");
    assert_eq!(request.field("host"), Some("app.test:8080"));
    assert_eq!(request.field("accept"), Some("text/*"));
    assert_eq!(request.field("cookie"), Some("a=1"));
    assert_eq!(request.field("via"), Some("1.1 balancer"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("app.test:8080"));
    assert_eq!(request.field("forwarded"), Some("for=127.0.0.1;host=\"app.test:8080\";proto=http"));
    let start = request.field("x-request-start").unwrap().strip_prefix("t=").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - start.parse::<f64>().unwrap()).abs() < 60.0, "{start}");
    assert_eq!(start.split_once('.').unwrap().1.len(), 6, "{start}");
    let id = request.field("x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert!(request.field("traceparent").unwrap().starts_with("00-"));
    assert_eq!(request.field("connection"), None);
    assert_eq!(request.field("content-length"), None);
    assert_eq!(request.field("transfer-encoding"), None);
}

#[test]
fn every_request_of_a_connection_has_an_id_of_its_own() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    (0..3).for_each(|_| assert_eq!(client.get("/").status(), 200));
    let requests = origin.requests();
    let mut ids: Vec<&str> = requests.iter().filter_map(|request| request.field("x-request-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn fields_of_the_clients_connection_do_not_reach_the_worker() {
    let request = seen(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, content-length\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nProxy: http://evil\r\nTE: gzip\r\n\
         Upgrade: websocket\r\nX-Own: 1\r\n\r\n",
    );
    let stay =
        ["connection", "x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "proxy", "te", "upgrade"];
    for name in stay {
        assert_eq!(request.all(name), [""; 0], "{name}");
    }
    assert_eq!(request.field("x-own"), Some("1"));
}

#[test]
fn fields_of_the_workers_connection_do_not_reach_the_client() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\n\
         X-Own: 1\r\nContent-Length: 0\r\n\r\n",
    );
    let balancer = Balancer::before(&[&origin]);
    let response = Client::of(&balancer).get("/");
    for name in ["connection", "keep-alive", "x-hop", "proxy-connection"] {
        assert_eq!(response.all(name), [""; 0], "{name}");
    }
    assert_eq!(response.field("x-own"), Some("1"));
}

#[test]
fn a_worker_cannot_remove_the_framing_of_its_answer_by_naming_it() {
    for (framing, body) in [("Content-Length: 2", "hi"), ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n")] {
        let origin = Origin::answering(format!(
            "HTTP/1.1 200 OK\r\nConnection: Content-Length, Transfer-Encoding, Date, X-Hop\r\n{framing}\r\nX-Hop: 1\r\n\r\n{body}"
        ));
        let balancer = Balancer::before(&[&origin]);
        let mut client = Client::of(&balancer);
        for _ in 0..2 {
            let response = client.get("/");
            assert_eq!((response.status(), response.text()), (200, "hi".into()), "{framing}");
            assert_eq!((response.ended, response.field("x-hop")), (Ended::Framed, None), "{framing}");
            assert_eq!(response.is_chunked(), framing.contains("chunked"), "{response:?}");
            assert!(response.field("date").is_some(), "{response:?}");
        }
    }
}

#[test]
fn several_cookies_stay_several() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-Between: 1\r\nSet-Cookie: b=2, c\r\nContent-Length: 0\r\n\r\n",
    );
    let balancer = Balancer::before(&[&origin]);
    assert_eq!(Client::of(&balancer).get("/").all("set-cookie"), ["a=1; Path=/", "b=2, c"]);
}

#[test]
fn a_strangers_statements_are_replaced() {
    let request = seen(STATEMENTS);
    assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.all("x-forwarded-host"), ["a"]);
    assert_eq!(request.all("forwarded"), ["for=127.0.0.1;host=\"a\";proto=http"]);
    assert_eq!(request.all("x-real-ip"), [""; 0]);
    assert_ne!(request.field("x-request-id"), Some("theirs"));
}

#[test]
fn a_trusted_proxys_statements_are_continued() {
    let request = seen_with("trusted_proxies = [\"127.0.0.0/8\"]", STATEMENTS);
    assert_eq!(request.all("x-forwarded-for"), ["203.0.113.9, 198.51.100.1, 127.0.0.1"]);
    assert_eq!(request.all("x-forwarded-proto"), ["https"]);
    assert_eq!(request.all("x-forwarded-host"), ["shop.test"]);
    assert_eq!(request.all("forwarded"), ["for=203.0.113.9, for=127.0.0.1;host=\"a\";proto=http"]);
    assert_eq!(request.all("x-real-ip"), ["203.0.113.9"]);
    assert_eq!(request.all("x-request-id"), ["theirs"]);
}

#[test]
fn a_proxy_of_another_network_is_not_trusted() {
    let request = seen_with("trusted_proxies = [\"10.0.0.0/8\"]", STATEMENTS);
    assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_client_cannot_remove_what_we_say_by_naming_it() {
    let request = seen(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, Host, Content-Length, X-Forwarded-For, Forwarded, Via\r\n\
         Content-Length: 2\r\n\r\nhi",
    );
    assert_eq!((request.field("host"), request.text()), (Some("a"), "hi".into()));
    assert_eq!(request.field("content-length"), Some("2"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert!(request.field("forwarded").is_some() && request.field("via").is_some());
}

#[test]
fn names_that_a_worker_may_read_as_others_are_dropped_refused_or_passed() {
    let fields = "GET / HTTP/1.1\r\nHost: a\r\nX_Own: 1\r\nContent.Length: 5\r\nX-Own~Too: 2\r\n\r\n";
    let all = |request: &Message| ["x_own", "content.length", "x-own~too"].map(|name| request.field(name).is_some());
    assert_eq!(all(&seen(fields)), [false; 3]);
    assert_eq!(all(&seen_with("ambiguous_fields = \"pass\"", fields)), [true; 3]);
    let origin = Origin::named("1");
    let balancer = Balancer::start("ambiguous_fields = \"refuse\"", &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send(fields);
    assert_eq!(client.response().status(), 400);
    balancer.logged(&["\"reason\":\"ambiguous_field\""]);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn what_a_worker_may_read_as_a_statement_about_the_client_is_not_a_stranger_s_to_pass() {
    let names = ["X_Forwarded_For", "X-Forwarded~For", "x.forwarded.proto", "X-Forwarded+Prefix", "X_Real-IP"];
    let fields: String = names.iter().map(|name| format!("{name}: 6.6.6.6\r\n")).collect();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{fields}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\nX-Forwarded-Ssl: 6.6.6.6\r\n{fields}\r\n"
    );
    for ambiguous in ["drop", "pass"] {
        let origin = Origin::named("1");
        let balancer = Balancer::start(&format!("ambiguous_fields = \"{ambiguous}\""), &pool_of(&[&origin]));
        let mut client = Client::of(&balancer);
        client.send(&request);
        assert_eq!(client.response().status(), 200);
        origin.await_requests(1);
        let bytes = origin.bytes(0);
        assert!(!bytes.contains("6.6.6.6") && bytes.contains("X-Sum: 7"), "{ambiguous}: {bytes}");
    }
    let trusted = "ambiguous_fields = \"pass\"\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let request = seen_with(trusted, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(names.map(|name| request.field(name)), [Some("6.6.6.6"); 5]);
}

#[test]
fn a_connection_field_names_no_more_than_we_compare_with() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\nX-A: 1\r\n\r\n", vec!["x-a"; 32].join(",")));
    assert_eq!(client.response().status(), 200);
    assert_eq!(origin.request().field("x-a"), None);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", vec!["x"; 14_000].join(",")));
    assert_eq!(client.response().status(), 431);
    balancer.logged(&["\"status\":431", "\"reason\":\"header_too_large\""]);
    let chatty = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nConnection: {}\r\nContent-Length: 2\r\n\r\nhi",
        vec!["x"; 33].join(",")
    ));
    let balancer = Balancer::before(&[&chatty]);
    let response = Client::of(&balancer).get("/");
    assert_eq!(response.status(), 502, "{response:?}");
    balancer.logged(&["\"reason\":\"bad_response\""]);
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_field() {
    let request = seen("GET http://b.test:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((request.line.as_str(), request.field("host")), ("GET /x?y HTTP/1.1", Some("b.test:81")));
}

#[test]
fn targets_reach_the_worker_in_origin_form_and_otherwise_as_they_came() {
    for (line, forwarded) in [
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://b.test/x HTTP/1.1", "OPTIONS /x HTTP/1.1"),
        ("OPTIONS http://b.test HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("GET http://b.test HTTP/1.1", "GET / HTTP/1.1"),
        ("GET /a//b/../%2e%2F?q=%20&r HTTP/1.1", "GET /a//b/../%2e%2F?q=%20&r HTTP/1.1"),
    ] {
        assert_eq!(seen(&format!("{line}\r\nHost: a\r\n\r\n")).line, forwarded, "{line}");
    }
}

#[test]
fn an_http_1_0_request_without_a_host_goes_on_with_an_empty_one() {
    assert_eq!(seen("GET / HTTP/1.0\r\n\r\n").field("host"), Some(""));
}

#[test]
fn bytes_beyond_ascii_in_a_value_are_passed_on() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Name: Łódź\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(origin.request().field("x-name"), Some("Łódź"));
}

const STATEMENTS: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n\
     X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\
     X-Request-Id: theirs\r\n\r\n";

/// What a worker gets for a request.
fn seen(request: &str) -> Message {
    seen_with("", request)
}

fn seen_with(top: &str, request: &str) -> Message {
    let origin = Origin::named("1");
    let balancer = Balancer::start(top, &pool_of(&[&origin]));
    let mut client = Client::of(&balancer);
    client.send(request);
    assert_eq!(client.response().status(), 200);
    origin.request()
}
