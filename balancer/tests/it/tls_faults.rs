//! What goes wrong with TLS: files that cannot be used, and clients that break off, dawdle or talk nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::harness::secure::{Authority, write_pair};
use super::harness::{Client, Origin, PATIENCE, directory};
use super::tls::Encrypted;

/// What `check` says of a file with this pair, and what a start says.
fn of_pair(directory: &Path, table: &str) -> (String, String) {
    let tls = format!("listen = \"tls:127.0.0.1:0\"\n[tls]\ncertificates = [{table}]\n");
    of_file(directory, &format!("{tls}[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n"))
}

/// What `check` says of a file with this text, and what a start says.
pub(super) fn of_file(directory: &Path, text: &str) -> (String, String) {
    let file = directory.join("wrong.toml");
    std::fs::write(&file, format!("{text}[admin]\nsocket = {:?}\n", directory.join("admin.sock"))).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_balancer"));
        let output = command.args(arguments).arg("--config").arg(&file).env_remove("RUST_LOG").output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    (run(&["check"]), run(&[]))
}

#[test]
fn a_pair_that_cannot_be_used_ends_the_start_with_what_to_do() {
    let (directory, authority) = (directory(), Authority::new());
    let (good, key) = authority.issue(&["app.test"]);
    let (_, other_key) = authority.issue(&["app.test"]);
    let intermediate = authority.pem();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIH=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let turned = format!("{intermediate}{good}");
    for (name, certificate, key, expected) in [
        ("misfit", good.as_str(), other_key.as_str(), "does not fit the certificate in "),
        ("turned", &turned, &key, " is number 2 in "),
        (
            "locked",
            &good,
            encrypted,
            " is encrypted, and nobody is there to type its password: write it without by openssl pkey ",
        ),
        (
            "keyless",
            &good,
            &good,
            " holds no private key: it needs a block that begins with -----BEGIN PRIVATE KEY-----",
        ),
        ("empty", "", &key, " holds no certificate: it needs a block that begins with -----BEGIN CERTIFICATE-----"),
        ("damaged", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", &key, "damaged"),
    ] {
        let (table, ..) = write_pair(&directory, name, certificate, key);
        let (checked, started) = of_pair(&directory, &table);
        assert!(checked.contains("warning: ") && checked.contains(expected), "{name}: {checked}");
        assert!(started.contains(expected), "{name}: {started}");
    }
    let (checked, started) = of_pair(&directory, "{ certificate = \"/nowhere/a.pem\", key = \"/nowhere/a.key\" }");
    for said in [checked, started] {
        assert!(
            said.contains(
                "cannot read /nowhere/a.pem: No such file or directory (os error 2); write the path of a file in PEM"
            ),
            "{said}"
        );
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_certificate_that_clients_will_refuse_is_served_with_a_warning() {
    let (directory, authority) = (directory(), Authority::new());
    let old = authority.issue_with(&["app.test"], |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    let early = authority.issue_with(&["app.test"], |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
    let nobody = authority.issue(&[]);
    let strange = (format!("{}{}", authority.issue(&["app.test"]).0, Authority::new().pem()), String::new());
    let strange = {
        let (own, key) = authority.issue(&["app.test"]);
        let other = authority.issue(&["other.test"]).0;
        let _ = strange;
        (format!("{own}{other}"), key)
    };
    for (name, (certificate, key), expected) in [
        ("old", old, "is served, but it has expired on 2021-01-01T00:00:00Z: clients refuse it until it is renewed"),
        (
            "early",
            early,
            "is served, but it is not valid before 2090-01-01T00:00:00Z: clients refuse it until then; is the clock right?",
        ),
        ("nobody", nobody, "is for no name (it has no subjectAltName): clients refuse it"),
        ("strange", strange, "certificate 2 does not vouch for certificate 1 in front of it"),
    ] {
        let (table, ..) = write_pair(&directory, name, &certificate, &key);
        let file = directory.join("odd.toml");
        let text = format!(
            "listen = \"tls:127.0.0.1:0\"\n[tls]\ncertificates = [{table}]\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_balancer"));
        let output = command.arg("check").arg("--config").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains(expected), "{name}: {said}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_handshake_that_takes_too_long_ends_with_header_timeout() {
    let origin = Origin::named("hello");
    let one = Encrypted::with(&origin, &["app.test"], "header_timeout = \"600ms\"", "");
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let (begun, mut client) = (Instant::now(), TcpStream::connect(one.balancer.encrypted()).unwrap());
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(said).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        assert!(begun.elapsed().as_millis() >= 500, "{:?}", begun.elapsed());
    }
    assert!(one.client().get("/").ends_with("hello"), "others are served");
}

#[test]
fn nonsense_in_the_place_of_a_handshake_is_refused_and_others_are_served() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    let mut long = vec![0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0xff, 0x00];
    long.resize(60_000, 0);
    for said in [
        &b"\x00\x00\x00\x00\x00\x00"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\x05hello",
        &long,
        b"\x80\x2e\x01\x00\x02",
    ] {
        let mut client = TcpStream::connect(one.balancer.encrypted()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = client.write_all(said);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // It is closed, be it by a reset where something was not read.
        let _ = client.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer[0] == 0x15 || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    }
    assert!(one.client().get("/").ends_with("hello"));
}

#[test]
fn bytes_that_are_changed_on_the_way_reach_no_worker() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    let mut client = one.client();
    assert!(client.get("/").ends_with("hello"));
    let before = origin.requests().len();
    // A record that nobody with the keys has written.
    client.socket.write_all(b"\x17\x03\x03\x00\x20GET / HTTP/1.1 Host: app.test 12").unwrap();
    client.rest().unwrap_err();
    assert!(one.client().get("/").ends_with("hello"));
    assert_eq!(origin.requests().len(), before + 1);
}

#[test]
fn tls_on_a_plain_port_is_one_line_of_the_log_and_400() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    one.speaks.to(one.balancer.address(), "app.test").err().unwrap();
    one.balancer.logged(&["\"status\":400", "\"reason\":\"tls_on_plain_port\""]);
    assert_eq!(Client::of(&one.balancer).get("/").text(), "hello");
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_handshake_leaves_nothing_behind() {
    let origin = Origin::named("hello");
    let one = Encrypted::before(&origin, &["app.test"]);
    assert!(one.client().get("/").ends_with("hello"));
    one.balancer.await_parked(0);
    let before = one.balancer.descriptors();
    for _ in 0..200 {
        let mut client = TcpStream::connect(one.balancer.encrypted()).unwrap();
        client.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap();
    }
    super::harness::eventually(
        || format!("{} descriptors, not {before}", one.balancer.descriptors()),
        || (one.balancer.descriptors() <= before).then_some(()),
    );
}
