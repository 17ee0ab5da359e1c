//! What goes wrong between us and endpoints that speak TLS: each with a status, a word and a sentence, and no request is lost that was not
//! sent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use super::harness::secure::{Authority, write_pair};
use super::harness::secure_origin::{SecureOrigin, showing};
use super::harness::{Balancer, Client, Ended, Origin, SOON, directory, ok};
use super::upstream_tls::{address, before, believing};

/// So that a body can be sent again of which an endpoint has got something.
const HELD: &str = "buffer_request = \"1KiB\"";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// With `bad` alone, the status and the word, and what is said; with another endpoint beside it, no client notices, whatever it asks.
fn fails(authority: &Authority, bad: &str, keys: &str, tls: &str, (reason, said): (&str, &str)) {
    let mut balancer = before(authority, &[bad.to_owned()], keys, tls);
    let mut client = Client::of(&balancer);
    client.send(POST);
    let answer = client.response();
    assert_eq!((answer.status(), answer.text().contains(reason)), (502, true), "{}", answer.text());
    balancer.logged(&["\"status\":502", &format!("\"reason\":\"{reason}\"")]);
    if !said.is_empty() {
        balancer.await_stderr_of(&format!("no TLS with {bad}: "), said);
    }
    let good = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS), "good");
    let balancer = before(authority, &[bad.to_owned(), address(&good)], keys, tls);
    for _ in 0..4 {
        let mut client = Client::of(&balancer);
        client.send(POST);
        assert_eq!(client.response().text(), "good");
    }
    balancer.logged(&["\"attempts\":2", "\"status\":200"]);
}

#[test]
fn a_certificate_that_is_not_to_be_believed_is_refused_with_what_to_do() {
    let authority = Authority::new();
    let old = authority.issue_with(&["127.0.0.1"], |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    let early = authority.issue_with(&["127.0.0.1"], |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2090, 1, 1), rcgen::date_time_ymd(2091, 1, 1));
    });
    for (shown, said) in [
        (
            authority.issue(&["other.test"]),
            "its certificate is for other.test, not for 127.0.0.1: write a name that it has as `name` in the table `tls` of its pool",
        ),
        (
            Authority::new().issue(&["127.0.0.1"]),
            "is vouched for by nobody whom we believe: write the certificate of its CA into a file",
        ),
        (old, "its certificate has expired: renew it there"),
        (early, "its certificate is not valid yet: is the clock right, here and there?"),
    ] {
        let origin = SecureOrigin::named(showing(&shown, None, rustls::ALL_VERSIONS), "bad");
        fails(&authority, &address(&origin), "", "", ("certificate_refused", said));
        assert!(origin.requests().is_empty());
    }
}

#[test]
fn an_endpoint_that_speaks_plain_http_is_told_from_one_that_speaks_tls() {
    let authority = Authority::new();
    let polite = Origin::start(|mut exchange| {
        exchange.until("\n");
        exchange.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let hasty = Origin::start(|mut exchange| {
        exchange.send("220 ready\r\n");
        exchange.read_to_end();
    });
    for origin in [polite, hasty] {
        let said = "it does not answer in TLS: write the port that speaks TLS, or take the table `tls` out of its pool";
        fails(&authority, &origin.address(), "", "", ("tls_handshake_failed", said));
    }
}

#[test]
fn a_handshake_that_hangs_ends_with_connect_timeout() {
    let (authority, silent) = (Authority::new(), Origin::silent());
    let begun = Instant::now();
    fails(&authority, &silent.address(), "connect_timeout = \"300ms\"", "", ("connect_timeout", ""));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn an_endpoint_that_closes_during_the_handshake_gets_no_request() {
    let authority = Authority::new();
    let at_once = Origin::start(drop);
    let halfway = Origin::start(|mut exchange| drop(exchange.take(200)));
    let by_reset = Origin::start(|mut exchange| {
        exchange.take(1);
        exchange.reset();
    });
    for origin in [at_once, halfway, by_reset] {
        let said = "it closed the connection during the TLS handshake: does its port speak TLS";
        fails(&authority, &origin.address(), "", "", ("tls_handshake_failed", said));
    }
}

#[test]
fn an_endpoint_that_demands_a_certificate_and_gets_none_gets_no_request() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let said = "it demands a certificate of ours: add `certificate` and `key` to the table `tls` of its pool";
    // In TLS 1.3 it says so behind our end of the handshake, when the request is on its way.
    for versions in [&[&TLS13], &[&TLS12]] {
        let origin = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), Some(&clients), versions), "bad");
        fails(&authority, &address(&origin), HELD, "", ("tls_handshake_failed", said));
        assert!(origin.requests().is_empty());
        assert!(origin.handshakes().iter().all(Result::is_err), "{:?}", origin.handshakes());
    }
    let (directory, _) = believing(&authority);
    let (certificate, key) = Authority::new().issue(&["a stranger"]);
    let (_, certificate, key) = write_pair(&directory, "strange", &certificate, &key);
    let origin = SecureOrigin::named(showing(&authority.issue(&["127.0.0.1"]), Some(&clients), &[&TLS13]), "bad");
    let tls = format!("certificate = {certificate:?}\nkey = {key:?}");
    let said = "is the one in the table `tls` of its pool one that it believes?";
    fails(&authority, &address(&origin), HELD, &tls, ("tls_handshake_failed", said));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_answer_that_ends_by_close_is_whole_only_where_the_endpoint_says_so() {
    let authority = Authority::new();
    let config = showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS);
    let origin = SecureOrigin::start(config, |mut exchange| {
        let Some(request) = exchange.request() else { return };
        match request.split(' ').nth(1).unwrap() {
            "/framed" => _ = exchange.send(ok("all of it")),
            _ => _ = exchange.send("HTTP/1.1 200 OK\r\n\r\nall of it"),
        }
        if request.starts_with("GET /whole ") { exchange.good_bye() } else { exchange.go() }
    });
    let balancer = before(&authority, &[address(&origin)], "", "");
    let ask = |target: &str| {
        let mut client = Client::of(&balancer);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.rest()
    };
    let (text, ended) = ask("/whole");
    assert!(text.ends_with("0\r\n\r\n") && text.contains("all of it") && ended == Ended::Close, "{text} {ended:?}");
    // Whoever is on the way could have cut it there.
    let (text, _) = ask("/cut");
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    balancer.logged(&["/cut", "\"reason\":\"truncated\""]);
    // What has a length needs no word at its end.
    let (text, ended) = ask("/framed");
    assert!(text.ends_with("all of it") && ended == Ended::Close, "{text} {ended:?}");
    assert_eq!(balancer.count_logged(&["/framed", "\"reason\""]), 0);
}

#[test]
fn a_kept_connection_that_the_endpoint_has_closed_meanwhile_is_replaced_silently() {
    let authority = Authority::new();
    let config = showing(&authority.issue(&["127.0.0.1"]), None, rustls::ALL_VERSIONS);
    for polite in [true, false] {
        let origin = SecureOrigin::start(config.clone(), move |mut exchange| {
            exchange.request();
            exchange.send(ok("hello"));
            if polite { exchange.good_bye() } else { exchange.go() }
        });
        let balancer = before(&authority, &[address(&origin)], "keep_alive_timeout = \"60s\"", "");
        let mut client = Client::of(&balancer);
        for _ in 0..4 {
            client.send(POST);
            assert_eq!(client.response().text(), "hello");
        }
        assert_eq!((origin.connections(), balancer.count_logged(&["\"reason\""])), (4, 0));
    }
}

#[test]
fn records_that_nobody_with_the_keys_has_written_are_no_answer() {
    let authority = Authority::new();
    let config = showing(&authority.issue(&["127.0.0.1"]), None, &[&TLS13]);
    let inner = SecureOrigin::named(config, "hello");
    let (target, listener) = (inner.address, std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let at = listener.local_addr().unwrap();
    // Changes a byte of what comes behind the handshake's first kilobytes.
    std::thread::spawn(move || {
        while let Ok((mut from, _)) = listener.accept() {
            let mut to = TcpStream::connect(target).unwrap();
            let (mut back, mut forth) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut forth));
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(length) = to.read(&mut bytes) {
                    if length == 0 {
                        break;
                    }
                    // A record of data: its last byte is of what proves it to be whole.
                    if bytes[0] == 0x17 {
                        bytes[length - 1] ^= 1;
                    }
                    if back.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let balancer = before(&authority, &[at.to_string()], "attempts_max = 1", "");
    let answer = Client::of(&balancer).get("/");
    assert_eq!(answer.status(), 502, "{answer:?}");
}

/// What `check` says of such a table, and what a start says.
fn of_table(directory: &Path, tls: &str) -> (String, String) {
    let pool = "listen = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n";
    super::tls_faults::of_file(directory, &format!("{pool}[pool.app.tls]\n{tls}\n"))
}

#[test]
fn files_that_cannot_be_used_end_the_start_with_what_to_do() {
    let (directory, authority) = (directory(), Authority::new());
    let (good, key) = authority.issue(&["balancer"]);
    let (_, other_key) = authority.issue(&["balancer"]);
    let (_, good_path, misfit_path) = write_pair(&directory, "misfit", &good, &other_key);
    let (_, _, key_path) = write_pair(&directory, "fit", &good, &key);
    let text_path = directory.join("text.pem");
    std::fs::write(&text_path, "hello").unwrap();
    let damaged_path = directory.join("damaged.pem");
    std::fs::write(&damaged_path, "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").unwrap();
    for (tls, expected) in [
        ("ca = \"/nowhere/ca.pem\"".to_owned(), "cannot read /nowhere/ca.pem: No such file or directory (os error 2)"),
        (format!("ca = {directory:?}"), "Is a directory"),
        (
            format!("ca = {text_path:?}"),
            "holds no certificate: it needs a block that begins with -----BEGIN CERTIFICATE-----",
        ),
        (format!("ca = {damaged_path:?}"), "is not PEM: "),
        (format!("certificate = {good_path:?}\nkey = {misfit_path:?}"), "does not fit the certificate in "),
        (format!("certificate = {good_path:?}\nkey = \"/nowhere/a.key\""), "cannot read /nowhere/a.key: No such file"),
        (format!("certificate = {text_path:?}\nkey = {key_path:?}"), " holds no certificate: it needs a block"),
        (format!("certificate = {good_path:?}\nkey = {good_path:?}"), " holds no private key: it needs a block"),
    ] {
        let (checked, started) = of_table(&directory, &tls);
        assert!(checked.contains("warning: pool app: ") && checked.contains(expected), "{tls}: {checked}");
        assert!(started.contains("pool app: ") && started.contains(expected), "{tls}: {started}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_goes_wrong_in_every_request_is_told_now_and_then() {
    let authority = Authority::new();
    let origin = SecureOrigin::named(showing(&authority.issue(&["other.test"]), None, rustls::ALL_VERSIONS), "bad");
    let balancer: Balancer = before(&authority, &[address(&origin)], "eject_after = 0", "");
    let begun = Instant::now();
    for _ in 0..30 {
        assert_eq!(Client::of(&balancer).get("/").status(), 502);
    }
    let told = balancer.said().matches("no TLS with ").count();
    assert!(told == 1 || begun.elapsed() > Duration::from_secs(10), "{}", balancer.said());
}
