//! Clients that speak TLS to us: what they are shown, what they get, how connections end.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

#[cfg(feature = "http2")]
use super::harness::http2::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, frame, get};
use super::harness::secure::{Authority, Secure, Speaks};
use super::harness::{Balancer, Client, Gate, Origin, PATIENCE, directory, free_port, ok, pool_of};
use super::program::{curl, needs};

/// A balancer with one encrypted listener, and clients that believe its certificates.
pub(crate) struct Encrypted {
    pub(crate) balancer: Balancer,
    pub(crate) authority: Authority,
    pub(crate) speaks: Speaks,
}

impl Encrypted {
    /// In front of `origin`, for these names, each with a certificate of its own.
    pub(crate) fn before(origin: &Origin, names: &[&str]) -> Self {
        Self::with(origin, names, "", "redirect_https = false")
    }

    /// The same; `top` are keys of the top level, `tls` those of `[tls]`.
    pub(crate) fn with(origin: &Origin, names: &[&str], top: &str, tls: &str) -> Self {
        let (directory, authority) = (directory(), Authority::new());
        let tables: Vec<String> = names.iter().map(|name| authority.issue_into(&directory, &[name]).0).collect();
        let top = format!("listen = [\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n{top}\n");
        let tls = format!("[tls]\ncertificates = [{}]\n{tls}\n{}", tables.join(", "), pool_of(&[origin]));
        let mut balancer = Balancer::start_in(directory, &top, &tls);
        balancer.await_stderr("listening on tls:");
        let speaks = Speaks::believing(&authority);
        Self { balancer, authority, speaks }
    }

    pub(crate) fn client(&self) -> Secure {
        self.speaks.to(self.balancer.encrypted(), "app.test").unwrap()
    }
}

#[test]
fn a_request_over_tls_is_served_and_its_worker_learns_of_it() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    for versions in [&[&TLS13], &[&TLS12]] {
        let speaks = Speaks::versions(&one.authority, versions);
        let mut client = speaks.to(one.balancer.encrypted(), "app.test").unwrap();
        for _ in 0..3 {
            assert!(client.get("/").ends_with("hello"));
        }
    }
    for request in origin.requests() {
        assert_eq!(request.field("x-forwarded-proto"), Some("https"));
        assert!(request.field("forwarded").unwrap().ends_with(";proto=https"));
    }
    Client::of(&one.balancer).get("/");
    let plain = origin.requests().pop().unwrap();
    assert_eq!(plain.field("x-forwarded-proto"), Some("http"));
    assert!(plain.field("forwarded").unwrap().ends_with(";proto=http"));
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_it_asks_for_and_else_is_refused() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test", "*.wild.test", "own.wild.test"]);
    let to = |name| one.speaks.to(one.balancer.encrypted(), name);
    let shown = |name| to(name).unwrap().tls.peer_certificates().unwrap()[0].to_vec();
    // The client itself checks that the certificate is for the name.
    assert_ne!(shown("own.wild.test"), shown("other.wild.test"));
    assert_eq!(shown("other.wild.test"), shown("THIRD.wild.test"));
    for stranger in ["other.test", "wild.test", "a.b.wild.test"] {
        for _ in 0..2 {
            let refused = to(stranger).err().unwrap().to_string();
            assert!(refused.contains("AccessDenied"), "{refused}");
        }
        one.balancer.await_stderr_count(&format!("asks by TLS for {stranger}, for which there is no certificate"), 1);
    }
    // Who names nobody, as those do who ask for an address, sees the first.
    let nameless = to("127.0.0.1").err().unwrap().to_string();
    assert!(nameless.contains("certificate is only valid for DnsName(\"app.test\")"), "{nameless}");
    assert_eq!(one.balancer.said().matches("asks by TLS for").count(), 3);
}

#[test]
fn large_bodies_come_through_whole_both_ways() {
    let origin = Origin::start(|mut exchange| {
        while let Some(request) = exchange.request() {
            exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
            exchange.send(&request.body);
        }
    });
    let one = Encrypted::before(&origin, &["app.test"]);
    let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at / 7) as u8).collect();
    let mut client = one.client();
    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head);
        client.send(&body);
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.byte());
        }
        let mut back = vec![0; body.len()];
        client.read_exact(&mut back).unwrap();
        assert!(back == body);
    }
    // Byte by byte, so that records and requests have nothing to do with each other.
    for byte in b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n" {
        client.send([*byte]);
    }
    assert!(client.response().starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_it() {
    let body = "0123456789".repeat(30_000);
    let origin = Origin::answering(ok(&body));
    let one = Encrypted::before(&origin, &["app.test"]);
    let mut client = one.client();
    socket2::SockRef::from(&client.socket).set_recv_buffer_size(4 * 1024).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
    let mut taken = Vec::new();
    let mut room = [0; 999];
    while let Ok(length) = client.read(&mut room) {
        if length == 0 {
            break;
        }
        taken.extend_from_slice(&room[..length]);
    }
    assert!(taken.ends_with(body.as_bytes()), "{}", taken.len());
}

#[test]
fn a_web_socket_goes_through_and_each_side_may_end_first() {
    let origin = Origin::start(|mut exchange| {
        exchange.request();
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Some(line) = exchange.until("\n") {
            exchange.send(line);
        }
        exchange.send("bye\n");
    });
    let one = Encrypted::before(&origin, &["app.test"]);
    let mut client = one.client();
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.response().starts_with("HTTP/1.1 101 "));
    for _ in 0..3 {
        client.send("hello\n");
        let mut line = [0; 6];
        client.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"hello\n");
    }
    client.half_close();
    assert_eq!(client.rest().unwrap(), b"bye\n");
}

#[test]
fn a_response_that_ends_by_close_ends_so_that_a_cut_one_can_be_told_from_it() {
    let origin = Origin::start(|mut exchange| {
        let request = exchange.request().unwrap();
        exchange.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        if request.target() == "/cut" {
            exchange.reset();
        }
    });
    let one = Encrypted::before(&origin, &["app.test"]);
    let mut client = one.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.rest().unwrap().ends_with(b"all of it"));
    let mut client = one.client();
    client.send("GET /cut HTTP/1.0\r\n\r\n");
    client.rest().unwrap_err();
    // One that knows chunks says good-bye before it goes.
    let mut client = one.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.rest().unwrap().ends_with(b"0\r\n\r\n"));
}

#[test]
fn an_idle_connection_keeps_its_session_while_it_is_parked() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    let mut client = one.client();
    for _ in 0..3 {
        assert!(client.get("/").ends_with("hello"));
        one.balancer.await_parked(1);
    }
    let mut never_asked = one.client();
    one.balancer.await_parked(2);
    assert!(never_asked.get("/").ends_with("hello"));
}

#[test]
fn a_client_that_comes_back_resumes_whichever_thread_it_meets() {
    let origin = Origin::named("hello");
    let one = Encrypted::with(&origin, &["app.test"], "threads = 3", "");
    let mut kinds = Vec::new();
    for _ in 0..8 {
        let mut client = one.client();
        assert!(client.get("/").ends_with("hello"));
        kinds.push(client.tls.handshake_kind());
    }
    assert_eq!(kinds[0], Some(HandshakeKind::Full));
    assert!(kinds[1..].iter().all(|kind| *kind == Some(HandshakeKind::Resumed)), "{kinds:?}");
}

#[test]
fn a_stop_lets_a_request_over_tls_finish_and_says_good_bye() {
    let (asked, answers) = (Gate::default(), Gate::default());
    let (tell, wait) = (asked.clone(), answers.clone());
    let origin = Origin::start(move |mut exchange| {
        exchange.request();
        tell.open();
        wait.wait();
        exchange.send(ok("at last"));
    });
    let mut one = Encrypted::before(&origin, &["app.test"]);
    let (mut idle, mut client) = (one.client(), one.client());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(asked.wait());
    one.balancer.signal(Signal::SIGTERM);
    one.balancer.await_stderr("stopping");
    assert!(idle.rest().unwrap().is_empty());
    answers.open();
    assert!(client.rest().unwrap().ends_with(b"at last"));
    assert!(one.balancer.ended().success());
}

#[test]
fn a_listener_for_tls_and_its_certificate_come_and_go_with_a_reload() {
    let origin = Origin::named("hello");
    let directory = directory();
    let authority = Authority::new();
    let (table, ..) = authority.issue_into(&directory, &["app.test"]);
    let mut balancer = Balancer::start_in(directory, "listen = [\"127.0.0.1:0\"]", &pool_of(&[&origin]));
    let file = balancer.directory().join("lb.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let port = free_port();
    let both = plain.replacen("listen = [", &format!("listen = [\"tls:127.0.0.1:{port}\", "), 1);
    std::fs::write(&file, format!("{both}\n[tls]\ncertificates = [{table}]\n")).unwrap();
    let (code, said) = balancer.run(&["reload"]);
    assert!(code == 0 && said.contains("tls: changed"), "{said}");
    balancer.await_stderr(&format!("listening on tls:127.0.0.1:{port}"));
    let mut client = Speaks::believing(&authority).to(balancer.encrypted(), "app.test").unwrap();
    assert!(client.get("/").ends_with("hello"));
    std::fs::write(&file, &plain).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    assert!(client.get("/").ends_with("hello"), "connections stay");
    balancer.await_stderr("no longer listening on tls:");
    assert_eq!(Client::of(&balancer).get("/").text(), "hello");
}

#[test]
fn a_certificate_that_is_replaced_is_shown_and_half_a_pair_changes_nothing() {
    let origin = Origin::named("hello");
    let mut one = Encrypted::before(&origin, &["app.test"]);
    let shown = |one: &Encrypted| one.client().tls.peer_certificates().unwrap()[0].to_vec();
    let (first, mut stays) = (shown(&one), one.client());
    let (certificate, key) = one.authority.issue(&["app.test"]);
    let directory = one.balancer.directory().to_owned();
    std::fs::write(directory.join("app.test.pem"), &certificate).unwrap();
    one.balancer.await_stderr("does not fit the certificate in ");
    assert_eq!(shown(&one), first);
    std::fs::write(directory.join("app.test.key"), &key).unwrap();
    one.balancer.await_stderr("was replaced: a certificate for app.test, valid until ");
    assert_ne!(shown(&one), first);
    assert!(stays.get("/").ends_with("hello"), "who is connected goes on");
    // Not by itself, but at HUP too.
    std::fs::remove_file(directory.join("app.test.key")).unwrap();
    assert_eq!(one.balancer.run(&["reload"]).0, 0);
    one.balancer.await_stderr("the certificate from before is shown on");
    assert!(one.client().get("/").ends_with("hello"));
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_asks_over_tls() {
    needs("curl");
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    let ca = one.balancer.directory().join("ca.pem");
    std::fs::write(&ca, one.authority.pem()).unwrap();
    let port = one.balancer.encrypted().port();
    let (resolve, url) = (format!("app.test:{port}:127.0.0.1"), format!("https://app.test:{port}/"));
    assert_eq!(curl(&["--resolve", &resolve, "--cacert", ca.to_str().unwrap(), &url]), "hello");
}

#[test]
#[cfg_attr(not(has = "curl"), ignore = "needs curl")]
fn curl_speaks_http2_over_tls_where_it_is_offered() {
    needs("curl");
    let origin = Origin::answering(ok(&"x".repeat(3 << 20)));
    for (top, version) in [("", "2"), ("http2 = false", "1.1")] {
        let one = Encrypted::with(&origin, &["app.test"], top, "");
        let ca = one.balancer.directory().join("ca.pem");
        std::fs::write(&ca, one.authority.pem()).unwrap();
        let port = one.balancer.encrypted().port();
        let (resolve, url) = (format!("app.test:{port}:127.0.0.1"), format!("https://app.test:{port}/"));
        let shown = "%{http_version} %{response_code} %{size_download}\n";
        let said = curl(&["--resolve", &resolve, "--cacert", ca.to_str().unwrap(), "-o/dev/null", "-w", shown, &url]);
        assert_eq!(said, format!("{version} 200 3145728\n"), "{top}");
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.field("x-forwarded-proto"), Some("https"));
        one.balancer.logged(&[if version == "2" { "HTTP/2.0" } else { "HTTP/1.1" }]);
    }
}

#[test]
fn a_client_that_has_not_agreed_on_http2_may_not_speak_it_over_tls() {
    let origin = Origin::named("hello");
    let one = Encrypted::with(&origin, &["app.test"], "h2c = true", "");
    let mut client = one.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let said = client.response();
    assert!(said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.1 505 "), "{said}");
}

#[test]
fn what_a_client_sends_behind_its_handshake_at_once_is_read() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    // Everything that the client has to say, in as few pieces as can be.
    let mut client = one.client();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().ends_with("hello") && client.response().ends_with("hello"));
    let mut plain = TcpStream::connect(one.balancer.encrypted()).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("this port speaks TLS: ask for https://"),
        "{answer}"
    );
    one.balancer.logged(&["\"status\":400", "\"reason\":\"plain_http_on_tls_port\""]);
}

#[test]
fn who_asks_without_tls_is_sent_there_where_the_host_has_a_certificate() {
    let origin = Origin::named("hello");
    let one = Encrypted::with(&origin, &["app.test"], "", "hsts = \"1y\"");
    let ask = |text: &str| {
        let mut client = Client::of(&one.balancer);
        client.send(text);
        client.response()
    };
    let sent = ask("POST /a?b=c HTTP/1.1\r\nHost: App.Test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((sent.status(), sent.field("location")), (308, Some("https://App.Test/a?b=c")));
    assert_eq!(sent.field("strict-transport-security"), None, "nobody may believe it without TLS");
    for host in ["other.test", "127.0.0.1", "[::1]"] {
        assert_eq!(ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "hello", "{host}");
    }
    assert!(one.client().get("/").contains("\r\nStrict-Transport-Security: max-age=31536000\r\n"));
}

#[test]
fn who_has_to_show_a_certificate_and_shows_none_or_a_strange_one_is_refused() {
    let origin = Origin::named("hello");
    let (place, clients) = (directory(), Authority::new());
    let ca = place.join("clients.pem");
    std::fs::write(&ca, clients.pem()).unwrap();
    for (auth, without) in [("require", false), ("optional", true)] {
        let tls = format!("client_ca = {ca:?}\nclient_auth = \"{auth}\"");
        let one = Encrypted::with(&origin, &["app.test"], "", &tls);
        let ask = |speaks: &Speaks| -> bool {
            // In TLS 1.3 the client is done before it is refused.
            let Ok(mut client) = speaks.to(one.balancer.encrypted(), "app.test") else { return false };
            let sent = client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            sent.is_ok() && client.rest().is_ok_and(|rest| rest.ends_with(b"hello"))
        };
        let known = Speaks::showing(&one.authority, &clients.issue(&["a client"]));
        assert!(ask(&known) && ask(&known), "{auth}: and when it comes back");
        assert!(!ask(&Speaks::showing(&one.authority, &Authority::new().issue(&["a stranger"]))), "{auth}");
        assert_eq!(ask(&one.speaks), without, "{auth}");
        // Whom nobody vouches for any more is not let in by a ticket.
        std::fs::write(&ca, Authority::new().pem()).unwrap();
        one.balancer.await_stderr_count("and tickets from before are void", 1);
        assert!(!ask(&known), "{auth}");
        std::fs::write(&ca, clients.pem()).unwrap();
    }
}

#[test]
fn a_parked_connection_ends_with_a_good_bye_whatever_ends_it() {
    let origin = Origin::named("hello");
    // Its time is over.
    let one = Encrypted::with(&origin, &["app.test"], "keep_alive_timeout = \"1500ms\"", "");
    let mut client = one.client();
    assert!(client.get("/").ends_with("hello"));
    one.balancer.await_parked(1);
    assert!(client.rest().unwrap().is_empty());
    // A stop.
    let mut one = Encrypted::before(&origin, &["app.test"]);
    let mut client = one.client();
    assert!(client.get("/").ends_with("hello"));
    one.balancer.await_parked(1);
    one.balancer.signal(Signal::SIGTERM);
    assert!(client.rest().unwrap().is_empty());
    assert!(one.balancer.ended().success());
}

#[test]
#[cfg(feature = "http2")]
fn a_connection_of_http2_ends_with_goaway_and_a_good_bye() {
    let origin = Origin::named("hello");
    for (ends, preface) in
        [("by a stop", PREFACE), ("by its fault", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frame at all, but text")]
    {
        let one = Encrypted::before(&origin, &["app.test"]);
        let mut speaks = one.speaks.clone();
        speaks.config.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = speaks.to(one.balancer.encrypted(), "app.test").unwrap();
        client.send([preface, &frame(SETTINGS, 0, 0, &[])[..]].concat());
        if ends == "by a stop" {
            client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/")));
            origin.await_requests(1);
            one.balancer.signal(Signal::SIGTERM);
        }
        // Clean, or this is an error.
        let taken = client.rest().unwrap();
        let goaway = |bytes: &[u8]| bytes[3] == GOAWAY && bytes[..2] == [0, 0] && bytes[4..9] == [0; 5];
        assert!(taken.windows(9).any(goaway), "{ends}: {taken:?}");
    }
}

#[test]
fn a_connection_serves_every_host_whatever_name_it_was_opened_by() {
    // All hosts have one `client_ca`, so that no request is on the wrong connection: 421 has no case (RFC 9110 §15.5.20).
    let origin = Origin::named("hello");
    let (place, clients) = (directory(), Authority::new());
    let ca = place.join("clients.pem");
    std::fs::write(&ca, clients.pem()).unwrap();
    let tls = format!("client_ca = {ca:?}\nredirect_https = false");
    let one = Encrypted::with(&origin, &["app.test", "other.test"], "", &tls);
    let known = Speaks::showing(&one.authority, &clients.issue(&["a client"]));
    let mut client = known.to(one.balancer.encrypted(), "app.test").unwrap();
    for host in ["app.test", "other.test", "third.test"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(client.response().starts_with("HTTP/1.1 200 "), "{host}");
    }
    std::fs::remove_dir_all(place).unwrap();
}
