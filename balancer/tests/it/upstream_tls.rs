//! Endpoints that speak TLS: whom we believe, what they see of us, and that everything else is as without.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};

use super::harness::secure::{Authority, write_pair};
use super::harness::secure_origin::{SecureOrigin, showing};
use super::harness::{Balancer, Client, Origin, directory, eventually, ok, pool_at, pool_of};

/// A directory with the authority's own certificate in it, and the lines of a table that believe it.
pub(crate) fn believing(authority: &Authority) -> (std::path::PathBuf, String) {
    let directory = directory();
    let ca = directory.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    (directory, format!("ca = {ca:?}\n"))
}

/// A balancer in front of endpoints that speak TLS; `keys` are those of the pool, `tls` those of its table.
pub(crate) fn before(authority: &Authority, addresses: &[String], keys: &str, tls: &str) -> Balancer {
    let (directory, ca) = believing(authority);
    Balancer::start_in(directory, "", &format!("{}{keys}\n[pool.app.tls]\n{ca}{tls}\n", pool_at(addresses)))
}

pub(crate) fn address(origin: &SecureOrigin) -> String {
    origin.address.to_string()
}

#[test]
fn requests_go_to_an_endpoint_over_tls_and_share_a_connection() {
    let authority = Authority::new();
    for versions in [&[&TLS13], &[&TLS12]] {
        let origin = SecureOrigin::named(showing(&authority.issue(&["app.test"]), None, versions), "hello");
        let balancer = before(&authority, &[address(&origin)], "", "name = \"App.Test\"");
        let mut client = Client::of(&balancer);
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "hello");
        }
        assert_eq!(origin.connections(), 1);
        assert_eq!(origin.handshakes(), [Ok((Some("app.test".to_owned()), "http/1.1".to_owned()))]);
        let request = origin.requests().pop().unwrap();
        assert!(
            request.contains("\r\nHost: app.test\r\n") && request.contains("\r\nX-Forwarded-Proto: http\r\n"),
            "{request}"
        );
    }
}

#[test]
fn without_a_name_an_endpoint_has_to_have_a_certificate_for_its_host() {
    let authority = Authority::new();
    let by_address = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "one");
    let by_name = SecureOrigin::named(showing(&authority.issue(&["localhost"]), None, rustls::ALL_VERSIONS), "two");
    for (address, name, expected) in [
        (address(&by_address), None, "one"),
        (format!("localhost:{}", by_name.address.port()), Some("localhost".to_owned()), "two"),
    ] {
        let balancer = before(&authority, &[address], "ready_wait = \"5s\"", "");
        let answer = eventually(
            || "an answer".into(),
            || Some(Client::of(&balancer).get("/")).filter(|one| one.status() == 200),
        );
        assert_eq!(answer.text(), expected);
        let origin = if expected == "one" { &by_address } else { &by_name };
        // Addresses are named by nobody (RFC 6066 §3).
        assert_eq!(origin.handshakes()[0], Ok((name, "http/1.1".to_owned())));
    }
}

#[test]
fn large_bodies_go_both_ways_over_tls() {
    let authority = Authority::new();
    let origin =
        SecureOrigin::start(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), |mut exchange| {
            while let Some(request) = exchange.request() {
                let body = request.split_once("\r\n\r\n").unwrap().1;
                exchange.send(ok(body));
            }
        });
    let balancer = before(&authority, &[address(&origin)], "", "");
    let body: String = (0..1_500_000_u32).map(|at| char::from(b'a' + (at / 7 % 26) as u8)).collect();
    for _ in 0..2 {
        let mut client = Client::of(&balancer);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert!(client.response().text() == body);
    }
}

#[test]
fn whoever_the_system_believes_is_believed_without_a_ca() {
    let authority = Authority::new();
    let origin = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "hello");
    let tables = format!("{}[pool.app.tls]\n", pool_at(&[address(&origin)]));
    for (believed, status) in [(&authority, 200), (&Authority::new(), 502)] {
        let (directory, _) = believing(believed);
        let mut command = Command::new(env!("CARGO_BIN_EXE_balancer"));
        command.env("SSL_CERT_FILE", directory.join("ca.pem")).env_remove("SSL_CERT_DIR");
        let balancer = Balancer::start_by(command, directory, "", &tables);
        assert_eq!(Client::of(&balancer).get("/").status(), status);
    }
}

#[test]
fn an_endpoint_that_wants_to_know_who_we_are_is_shown_our_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    for versions in [&[&TLS13], &[&TLS12]] {
        let config = showing(&authority.issue(&["127.0.0.1"]), Some(&clients), versions);
        let origin = SecureOrigin::named(config, "hello");
        let (directory, ca) = believing(&authority);
        let (certificate, key) = clients.issue(&["balancer"]);
        let (_, certificate, key) = write_pair(&directory, "own", &certificate, &key);
        let tls = format!("{ca}certificate = {certificate:?}\nkey = {key:?}\n");
        let tables = format!("{}[pool.app.tls]\n{tls}", pool_at(&[address(&origin)]));
        let balancer = Balancer::start_in(directory, "", &tables);
        assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    }
}

#[test]
fn an_endpoint_may_vouch_for_itself_with_what_openssl_makes() {
    // `openssl req -x509`: it may vouch for others too, which keeps it from being believed as an endpoint's own.
    let own = Authority::for_itself(&["app.test"]);
    let origin = SecureOrigin::named(showing(&own.pair(), None, rustls::ALL_VERSIONS), "hello");
    for (name, status) in [("app.test", 200), ("other.test", 502)] {
        let balancer = before(&own, &[address(&origin)], "", &format!("name = \"{name}\""));
        assert_eq!(Client::of(&balancer).get("/").status(), status, "{name}");
    }
    // Another one of the same name is another one.
    let balancer = before(&Authority::for_itself(&["app.test"]), &[address(&origin)], "", "name = \"app.test\"");
    assert_eq!(Client::of(&balancer).get("/").status(), 502);
}

#[test]
fn a_place_of_a_pool_with_slots_keeps_its_connection_over_tls() {
    let authority = Authority::new();
    let origin = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "hello");
    let (directory, ca) = believing(&authority);
    let tables = format!("{}slots = 1\n[pool.app.tls]\n{ca}", pool_at(&[address(&origin)]));
    let balancer = Balancer::start_in(directory, "threads = 3", &tables);
    // Each by another connection, which another thread may have.
    for _ in 0..12 {
        assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_web_socket_goes_through_to_an_endpoint_that_speaks_tls() {
    let authority = Authority::new();
    let config = showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS);
    let origin = SecureOrigin::start(config, |mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Some(line) = exchange.until("\n") {
            exchange.send(line);
        }
        exchange.send("bye\n");
        exchange.good_bye();
    });
    let balancer = before(&authority, &[address(&origin)], "", "");
    let mut client = Client::of(&balancer);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.head().status(), 101);
    for _ in 0..3 {
        client.send("hello\n");
        assert_eq!(client.until("\n"), "hello\n");
    }
    client.half_close();
    assert_eq!(client.rest().0, "bye\n");
}

#[test]
fn who_the_client_is_stands_in_front_of_the_handshake() {
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let inner = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "hello");
    let at = listener.local_addr().unwrap();
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, target) = (Arc::clone(&lines), inner.address);
    // Takes the header away and passes the rest on.
    std::thread::spawn(move || {
        while let Ok((mut from, _)) = listener.accept() {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                if from.read_exact(&mut byte).is_err() {
                    break;
                }
                line.push(byte[0]);
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            let mut to = TcpStream::connect(target).unwrap();
            let (mut back, mut forth) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut forth));
            std::thread::spawn(move || std::io::copy(&mut to, &mut back).map(|_| back.flush()));
        }
    });
    let keys = "proxy_protocol = \"v1\"\nprobe = { path = \"/probed\", interval = \"1s\" }";
    let balancer = before(&authority, &[at.to_string()], keys, "");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    let said = |what: &str| lines.lock().unwrap().iter().any(|line| line.starts_with(what));
    assert!(said("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{lines:?}");
    eventually(|| format!("a probe among {lines:?}"), || said("PROXY UNKNOWN\r\n").then_some(()));
    eventually(
        || format!("{:?}", inner.requests()),
        || inner.requests().iter().any(|request| request.starts_with("GET /probed ")).then_some(()),
    );
}

#[test]
fn probes_ask_over_tls_and_an_endpoint_that_cannot_be_believed_is_down() {
    let authority = Authority::new();
    let good = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "good");
    let bad = SecureOrigin::named(showing(&authority.issue(&["other.test"]), None, rustls::ALL_VERSIONS), "bad");
    for probe in
        ["probe = { path = \"/up\", interval = \"100ms\", fall = 1 }", "probe = { interval = \"100ms\", fall = 1 }"]
    {
        let mut balancer = before(&authority, &[address(&good), address(&bad)], probe, "");
        let said = balancer.await_stderr_of(&address(&bad), "is down");
        assert!(said.contains("its certificate is for other.test, not for 127.0.0.1"), "{said}");
        for _ in 0..4 {
            assert_eq!(Client::of(&balancer).get("/").text(), "good");
        }
        assert!(!balancer.said().contains(&format!("{} is down", address(&good))));
    }
    assert!(good.requests().iter().any(|request| request.starts_with("GET /up ")));
}

#[test]
fn workers_that_speak_tls_are_ready_warm_and_served() {
    let (authority, origin) = (Authority::new(), Origin::named("hello"));
    let (directory, ca) = believing(&authority);
    let (table, ..) = authority.issue_into(&directory, &["127.0.0.1"]);
    let inner = directory.join("inner.toml");
    let text = format!(
        "listen = \"tls:127.0.0.1:${{PORT}}\"\n[tls]\ncertificates = [{table}]\n{}[access_log]\nformat = \"off\"\n",
        pool_of(&[&origin])
    );
    std::fs::write(&inner, text).unwrap();
    let command = [env!("CARGO_BIN_EXE_balancer"), "--config", inner.to_str().unwrap()];
    for (ready, http2) in
        [("{ path = \"/ready\" }", false), ("{ connect = true }", false), ("{ path = \"/ready\" }", true)]
    {
        let tables = format!(
            "[pool.app]\nhttp2 = {http2}\n[pool.app.tls]\n{ca}[pool.app.workers]\ncommand = {command:?}\ncount = 2\nready = {ready}\n\
             warm_up = {{ path = \"/warm\", requests = 2 }}\n"
        );
        let place = super::harness::directory();
        let mut balancer = Balancer::start_in(place, "", &tables);
        balancer.await_stderr_of("app.1 (pid ", " is ready at ");
        balancer.await_stderr_of("app.2 (pid ", " is ready at ");
        assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    }
    let asked = |target: &str| origin.requests().iter().filter(|request| request.target() == target).count();
    assert!(asked("/ready") >= 4 && asked("/warm") == 12, "{} {}", asked("/ready"), asked("/warm"));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
#[cfg(feature = "http2")]
fn http2_is_agreed_on_in_the_handshake_and_streams_share_a_connection() {
    let (authority, origin) = (Authority::new(), Origin::named("hello"));
    let (directory, ca) = believing(&authority);
    let (table, ..) = authority.issue_into(&directory, &["127.0.0.1"]);
    for (top, status) in [("", 200), ("http2 = false", 502)] {
        let tables = format!("[tls]\ncertificates = [{table}]\n{}", pool_of(&[&origin]));
        let mut inner = Balancer::start(&format!("listen = [\"tls:127.0.0.1:0\"]\n{top}"), &tables);
        inner.await_stderr("listening on tls:");
        let at = inner.encrypted().to_string();
        let tables = format!("{}http2 = true\n[pool.app.tls]\n{ca}", pool_at(&[at]));
        let mut balancer = Balancer::start("", &tables);
        let mut client = Client::of(&balancer);
        for _ in 0..3 {
            assert_eq!(client.get("/").status(), status);
        }
        if status == 200 {
            inner.logged(&["HTTP/2.0"]);
            assert_eq!(origin.requests().pop().unwrap().field("x-forwarded-proto"), Some("https"));
        } else {
            balancer.await_stderr("take `http2 = true` out of its pool");
            balancer.logged(&["\"status\":502", "\"reason\":\"tls_handshake_failed\""]);
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_reload_begins_and_ends_tls_and_no_connection_from_before_is_used() {
    let (authority, other) = (Authority::new(), Authority::new());
    let origin = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "hello");
    let keys = "keep_alive_timeout = \"60s\"";
    let balancer = before(&authority, &[address(&origin)], keys, "");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    let (file, ca) = (balancer.directory().join("lb.toml"), balancer.directory().join("ca.pem"));
    // Another authority in the same file: the same configuration, and other files.
    std::fs::write(&ca, other.pem()).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(Client::of(&balancer).get("/").status(), 502);
    std::fs::write(&ca, authority.pem()).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    // A name that the certificate does not have.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[pool.app.tls]\n", "[pool.app.tls]\nname = \"other.test\"\n")).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 0 && said.contains("pool app: tls changed"), "{said}");
    assert_eq!(Client::of(&balancer).get("/").status(), 502);
    std::fs::write(&file, &text).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    // What cannot be read any more is used as it was.
    std::fs::remove_file(&ca).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    balancer.await_end_of_log("what was read before holds on");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
    // And what never could be read changes nothing.
    std::fs::write(&file, text.replace("ca.pem", "nowhere.pem")).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 1 && said.contains("nowhere.pem") && said.contains("nothing has changed"), "{said}");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
}

#[test]
fn a_probe_goes_on_over_tls_when_a_reload_begins_it() {
    let authority = Authority::new();
    let origin = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "hello");
    let (directory, ca) = believing(&authority);
    let tables = format!(
        "{}probe = {{ path = \"/\", interval = \"100ms\", fall = 1, rise = 1 }}\n",
        pool_at(&[address(&origin)])
    );
    let mut balancer = Balancer::start_in(directory, "", &tables);
    balancer.await_stderr_of(&address(&origin), "is down");
    let file = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[pool.app.tls]\n{ca}")).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert_eq!(code, 0, "{said}");
    balancer.await_stderr_of(&address(&origin), "is up");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
}
