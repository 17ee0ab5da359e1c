//! Certificates that come by themselves from a CA, and all that can go wrong with that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustls::client::Resumption;

use super::harness::pebble::Pebble;
use super::harness::secure::{Secure, Speaks};
use super::harness::{Balancer, Client, Origin, PATIENCE, directory, eventually, free_port, pool_of};

/// A balancer that gets its certificates from `pebble`, kept in `state`.
struct Ordering {
    balancer: Balancer,
    origin: Origin,
    state: PathBuf,
}

impl Ordering {
    /// With both listeners.
    fn of(pebble: &Pebble, names: &[&str]) -> Self {
        let listen = format!("[\"127.0.0.1:{}\", \"tls:127.0.0.1:{}\"]", pebble.http, pebble.tls);
        Self::listening(pebble, names, &listen)
    }

    fn listening(pebble: &Pebble, names: &[&str], listen: &str) -> Self {
        Self::kept_in(pebble.directory().join("state"), pebble, names, listen)
    }

    fn kept_in(state: PathBuf, pebble: &Pebble, names: &[&str], listen: &str) -> Self {
        let origin = Origin::named("hello");
        std::fs::create_dir_all(&state).unwrap();
        let top = format!("listen = {listen}\nstate_dir = {state:?}\n");
        let tables = format!("[tls]\nnames = {names:?}\n{}{}", pebble.keys(), pool_of(&[&origin]));
        let balancer = Balancer::start_in(directory(), &top, &tables);
        Self { balancer, origin, state }
    }

    fn encrypted(&self, pebble: &Pebble) -> SocketAddr {
        ([127, 0, 0, 1], pebble.tls).into()
    }

    /// A client that is shown a certificate for `name`, once there is one.
    fn served(&self, pebble: &Pebble, speaks: &Speaks, name: &str) -> Secure {
        let mut refused = String::new();
        eventually(
            || format!("a certificate for {name}: {}", self.balancer.said()),
            || speaks.to(self.encrypted(pebble), name).map_err(|error| refused = error.to_string()).ok(),
        )
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn a_certificate_comes_by_itself_by_a_handshake_alone() {
    let pebble = Pebble::start();
    let listen = format!("\"tls:127.0.0.1:{}\"", pebble.tls);
    let mut one = Ordering::listening(&pebble, &["app.test", "www.app.test"], &listen);
    let speaks = pebble.believed();
    for name in ["app.test", "www.app.test"] {
        assert!(one.served(&pebble, &speaks, name).get("/").ends_with("hello"));
        one.balancer.await_stderr_of(&format!("{name}: localhost:"), "has given a certificate, by tls-alpn-01");
    }
    assert_eq!(one.origin.requests().len(), 2);
    let (code, said) = eventually(
        || format!("both are told of: {:?}", one.balancer.run(&["certificates"])),
        || Some(one.balancer.run(&["certificates"])).filter(|(code, _)| *code == 0),
    );
    let lines: Vec<&str> = said.lines().skip(1).collect();
    let is_told = |line: &str| line.matches("  in ").count() == 2 && line.contains("  localhost:");
    assert!((code, lines.len()) == (0, 2) && lines.iter().all(|line| is_told(line)), "{said}");
    // Keys are for nobody else.
    let folder = std::fs::read_dir(one.state.join("acme")).unwrap().flatten().find(|entry| entry.path().is_dir());
    let folder = folder.unwrap().path();
    assert_eq!((mode(&one.state.join("acme")), mode(&folder)), (0o700, 0o700));
    for file in ["account.json", "app.test.pem", "www.app.test.pem"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn a_challenge_that_is_refused_is_followed_by_the_other_one_at_once() {
    let pebble = Pebble::start();
    // The CA connects to a port for handshakes at which nobody listens.
    let listen = format!("[\"127.0.0.1:{}\", \"tls:127.0.0.1:0\"]", pebble.http);
    let mut one = Ordering::listening(&pebble, &["app.test"], &listen);
    let said = one.balancer.await_stderr_of("app.test: localhost:", "has given a certificate, by http-01");
    let refused = "app.test: there is no certificate yet: the CA has not found us by tls-alpn-01, for which it connects to port 443: ";
    let line = said.lines().find(|line| line.contains(refused)).unwrap();
    assert!(line.ends_with("; http-01 is tried at once"), "{line}");
    let mut client = pebble.believed().to(one.balancer.encrypted(), "app.test").unwrap();
    assert!(client.get("/").ends_with("hello"));
}

/// The time of a certificate in the tests of its renewal, in seconds: the next one is ordered when two thirds are over.
const SHORT: &str = ", \"certificateValidityPeriod\": 9";

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn renewal_under_load_costs_no_handshake() {
    let mut pebble = Pebble::prepared(SHORT);
    pebble.run();
    let one = Ordering::of(&pebble, &["app.test"]);
    let speaks = pebble.believed();
    let first = shown(&mut one.served(&pebble, &speaks, "app.test"));
    // Who comes back is not shown a certificate again.
    let mut strangers = pebble.believed();
    strangers.config.resumption = Resumption::disabled();
    let (begun, mut seen, mut asked) = (Instant::now(), BTreeSet::from([first]), 0);
    while seen.len() < 3 {
        assert!(begun.elapsed() < 2 * PATIENCE, "{}", one.balancer.said());
        // The client itself checks that it is valid now.
        let mut client = strangers.to(one.encrypted(&pebble), "app.test").unwrap();
        seen.insert(shown(&mut client));
        assert!(client.get("/").ends_with("hello"));
        assert!(speaks.to(one.encrypted(&pebble), "app.test").unwrap().get("/").ends_with("hello"));
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    let said = one.balancer.said();
    assert!(said.matches("has given a certificate").count() >= 3, "{said}");
    // This CA refuses one nonce of five, and now and then the next one too.
    assert!(
        said.lines().filter(|line| line.contains("is not renewed")).all(|line| line.contains("badNonce")),
        "{said}"
    );
}

fn shown(client: &mut Secure) -> Vec<u8> {
    client.tls.peer_certificates().unwrap()[0].to_vec()
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn the_ca_is_answered_by_requests_though_all_others_are_sent_to_tls() {
    let mut pebble = Pebble::prepared(SHORT);
    pebble.run();
    let listen = format!("[\"127.0.0.1:{}\", \"tls:127.0.0.1:0\"]", pebble.http);
    let one = Ordering::listening(&pebble, &["app.test"], &listen);
    one.balancer.await_stderr_count("has given a certificate, by http-01", 1);
    let asked = |target: &str| {
        let mut client = Client::of(&one.balancer);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"));
        client.response().status()
    };
    assert_eq!((asked("/"), asked("/.well-known/acme-challenge/unknown")), (308, 308));
    one.balancer.await_stderr_count("has given a certificate, by http-01", 2);
    // What went well is tried first the next time.
    assert_eq!(one.balancer.said().matches("by tls-alpn-01").count(), 1, "{}", one.balancer.said());
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn a_restart_shows_what_is_kept_and_asks_for_nothing() {
    let mut pebble = Pebble::start();
    let speaks = pebble.believed();
    let one = Ordering::of(&pebble, &["app.test"]);
    let first = shown(&mut one.served(&pebble, &speaks, "app.test"));
    let said = one.balancer.run(&["stop"]).1;
    drop(one);
    // Nobody could give another one.
    pebble.end();
    let one = Ordering::of(&pebble, &["app.test"]);
    one.balancer.await_stderr_count("listening on tls:", 1);
    let mut client = speaks.to(one.encrypted(&pebble), "app.test").unwrap();
    assert_eq!(shown(&mut client), first, "{said}");
    assert!(client.get("/").ends_with("hello"));
    // Where it were due, it would have been tried at once.
    assert!(!one.balancer.said().contains("app.test: "), "{}", one.balancer.said());
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn a_directory_that_is_dead_holds_up_nothing_and_is_asked_again() {
    let mut pebble = Pebble::prepared("");
    let mut one = Ordering::of(&pebble, &["app.test"]);
    assert_eq!(Client::of(&one.balancer).get("/").text(), "hello");
    let why = "there is no certificate yet: localhost cannot be asked: Connection refused";
    let said = one.balancer.await_stderr_of("app.test: ", why);
    assert!(said.lines().any(|line| line.contains(why) && line.contains("; it is tried again in ")), "{said}");
    pebble.run();
    let speaks = pebble.believed();
    assert!(one.served(&pebble, &speaks, "app.test").get("/").ends_with("hello"));
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn where_both_challenges_are_refused_it_is_said_when_they_are_tried_again() {
    let pebble = Pebble::start();
    let mut one = Ordering::listening(&pebble, &["app.test"], "[\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]");
    let said = one.balancer.await_stderr_of("the CA has not found us by http-01", "it is tried again in ");
    let line = said.lines().find(|line| line.contains("by http-01, for which it connects to port 80: ")).unwrap();
    assert!(line.contains("app.test: there is no certificate yet: ") && line.contains("(connection)"), "{line}");
    assert!(said.contains("connects to port 443 or 80 of its name, and no listener has either"), "{said}");
    assert_eq!(Client::of(&one.balancer).get("/").text(), "hello");
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn without_a_place_to_keep_it_nothing_is_ordered() {
    let pebble = Pebble::start();
    let state = pebble.directory().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("acme"), "a file in its place").unwrap();
    let mut one = Ordering::of(&pebble, &["app.test"]);
    let why = "app.test: there is no certificate yet: it cannot be kept in ";
    one.balancer.await_stderr_of(why, "balancer's account has to be allowed to write there; it is tried again in ");
    assert_eq!(pebble.orders(), 0, "{}", pebble.log());
    // Who makes room for it needs no restart.
    std::fs::remove_file(state.join("acme")).unwrap();
    one.served(&pebble, &pebble.believed(), "app.test");

    let listen = format!("[\"127.0.0.1:0\", \"tls:127.0.0.1:{}\"]", free_port());
    let mut other = Ordering::kept_in(state, &pebble, &["app.test", "new.test"], &listen);
    other.balancer.await_stderr_of("new.test: there is no certificate yet: ", "another balancer has ");
    // What is kept is shown all the same.
    pebble.believed().to(other.balancer.encrypted(), "app.test").unwrap();
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn names_come_and_go_with_a_reload_also_where_the_ca_has_forgotten_us() {
    let mut pebble = Pebble::start();
    let one = Ordering::of(&pebble, &["app.test"]);
    let before = pebble.believed();
    one.served(&pebble, &before, "app.test");
    // All of its memory is gone, that of our account too.
    pebble.end();
    pebble.run();
    let file = one.balancer.directory().join("lb.toml");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let (code, said) = one.balancer.run(&["reload"]);
        assert!(code == 0 && said.contains("tls: changed"), "{said}");
    };
    change("names = [\"app.test\"]", "names = [\"app.test\", \"new.test\"]");
    before.to(one.encrypted(&pebble), "app.test").unwrap();
    one.served(&pebble, &pebble.believed(), "new.test");
    change("names = [\"app.test\", \"new.test\"]", "names = [\"new.test\"]");
    let gone = || before.to(one.encrypted(&pebble), "app.test").err().map(|error| error.to_string());
    assert!(eventually(|| "app.test is shown on".to_owned(), gone).contains("AccessDenied"));
}

#[test]
#[cfg_attr(not(has = "pebble"), ignore = "needs pebble")]
fn an_account_that_one_has_with_the_ca_is_joined() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let mut pebble = Pebble::prepared(&format!(
        ", \"externalAccountBindingRequired\": true, \"externalAccountMACKeys\": {{\"kid-1\": {key:?}}}"
    ));
    pebble.run();
    let mut one = Ordering::of(&pebble, &["app.test"]);
    one.balancer
        .await_stderr_of("app.test: there is no certificate yet: the CA refuses: ", "(externalAccountRequired)");
    let file = one.balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let eab = format!("[tls]\nemail = \"admin@app.test\"\neab = {{ key_id = \"kid-1\", mac_key = {key:?} }}");
    std::fs::write(&file, text.replace("[tls]", &eab)).unwrap();
    assert_eq!(one.balancer.run(&["reload"]).0, 0);
    one.served(&pebble, &pebble.believed(), "app.test");
}
