//! What the access log says of a request.

use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Origin, Refusing, pool_at, pool_of};

#[test]
fn a_json_line_tells_all_of_a_request() {
    let origin = Origin::named("hello");
    let refusing = Refusing::start();
    let balancer = Balancer::start("", &pool_at(&[refusing.address(), origin.address()]));
    let mut client = Client::of(&balancer);
    client.send(
        "GET /a?b HTTP/1.1\r\nHost: app.test\r\nUser-Agent: test/1.0\r\nReferer: http://r.test/\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(client.response().status(), 200);
    let line = balancer.logged(&["\"target\":\"/a?b\""]);
    let id = origin.request().field("x-request-id").unwrap().to_owned();
    for part in [
        "\"client\":\"127.0.0.1\"",
        "\"method\":\"GET\"",
        "\"version\":\"HTTP/1.1\"",
        "\"host\":\"app.test\"",
        "\"referer\":\"http://r.test/\"",
        "\"user_agent\":\"test/1.0\"",
        "\"status\":200",
        "\"bytes\":5",
        "\"qt\":0",
        "\"pool\":\"app\"",
        &format!("\"endpoint\":\"{}\"", origin.address()),
        "\"attempts\":2",
        &format!("\"id\":\"{id}\""),
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(line.starts_with("{\"time\":\"2") && line.ends_with('}'), "{line}");
    assert!(!line.contains("reason"), "{line}");
    let (total, upstream) = (seconds(&line, "\"rt\":"), seconds(&line, "\"ut\":"));
    assert!(total >= upstream && upstream > 0.0 && total < 10.0, "{line}");
}

#[test]
fn a_combined_line_on_stdout_tells_all_of_a_request() {
    let origin = Origin::named("hello");
    let tables = format!("{}[access_log]\nformat = \"combined\"\npath = \"stdout\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("", &tables);
    let mut client = Client::of(&balancer);
    client.send("GET /a?b HTTP/1.1\r\nHost: app.test\r\nUser-Agent: test/1.0\r\nReferer: http://r.test/\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    let line = balancer.logged_in("stdout", &["/a?b"]);
    let id = origin.request().field("x-request-id").unwrap().to_owned();
    let (begin, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    let (request, ours) = rest.split_once(" rt=").unwrap();
    assert_eq!(begin, "127.0.0.1 - -");
    assert_eq!(time.len(), "21/Nov/2026:11:57:36 +0000".len(), "{time}");
    assert_eq!(request, "\"GET /a?b HTTP/1.1\" 200 5 \"http://r.test/\" \"test/1.0\"");
    let fields: Vec<&str> = ours.split(' ').map(|field| field.split_once('=').map_or("rt", |(name, _)| name)).collect();
    assert_eq!(fields, ["rt", "qt", "ut", "pool", "endpoint", "attempts", "reason", "id"]);
    let tail = format!(" pool=app endpoint={} attempts=1 reason=- id={id}", origin.address());
    assert!(ours.ends_with(&tail), "{ours}");
}

#[test]
fn what_could_not_be_read_is_logged_too() {
    let origin = Origin::named("1");
    let tables = format!("{}[access_log]\nformat = \"combined\"\npath = \"stdout\"\n", pool_of(&[&origin]));
    let balancer = Balancer::start("", &tables);
    let mut client = Client::of(&balancer);
    client.send("rubbish\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    let line = balancer.logged_in("stdout", &["reason=bad_request"]);
    assert!(line.contains("] \"-\" 400 ") && line.contains("pool=- endpoint=- attempts=0"), "{line}");
}

#[test]
fn hostile_bytes_cannot_forge_a_line() {
    let agent = "evil\" \\ \u{1b}[31m \u{e9}".replace('\u{1b}', "\t");
    let request = format!("GET /\"x HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nReferer: {agent}\r\n\r\n");
    for (format, quoted) in [
        ("combined", "\"evil\\x22 \\x5C \\x09[31m \\xC3\\xA9\""),
        ("json", "\"user_agent\":\"evil\\\" \\\\ \\u0009[31m é\""),
    ] {
        let origin = Origin::named("1");
        let tables = format!("{}[access_log]\nformat = \"{format}\"\npath = \"stdout\"\n", pool_of(&[&origin]));
        let balancer = Balancer::start("", &tables);
        let mut client = Client::of(&balancer);
        client.send(&request);
        client.response();
        assert_eq!(client.get("/next").status(), 200);
        balancer.logged_in("stdout", &["/next"]);
        let text = std::fs::read_to_string(balancer.directory().join("stdout")).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().next().unwrap().contains(quoted), "{text}");
    }
}

#[test]
fn usr1_opens_the_file_again() {
    let origin = Origin::named("1");
    let balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    client.get("/before");
    balancer.logged(&["/before"]);
    let log = balancer.directory().join("access.log");
    let rotated = balancer.directory().join("access.log.1");
    std::fs::rename(&log, &rotated).unwrap();
    client.get("/between");
    balancer.logged_in("access.log.1", &["/between"]);
    balancer.signal(Signal::SIGUSR1);
    super::harness::eventually(|| "a new file".into(), || log.exists().then_some(()));
    client.get("/after");
    balancer.logged(&["/after"]);
    assert!(!std::fs::read_to_string(&rotated).unwrap().contains("/after"));
}

#[test]
fn nothing_is_lost_when_the_program_ends() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::before(&[&origin]);
    let mut client = Client::of(&balancer);
    (0..50).for_each(|number| assert_eq!(client.get(&format!("/{number}")).status(), 200));
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    let text = std::fs::read_to_string(balancer.directory().join("access.log")).unwrap();
    assert_eq!(text.lines().count(), 50, "{text}");
}

#[test]
fn an_access_log_that_is_off_says_nothing() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("", &format!("{}[access_log]\nformat = \"off\"\n", pool_of(&[&origin])));
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
    assert_eq!(std::fs::read_to_string(balancer.directory().join("stdout")).unwrap(), "");
}

fn seconds(line: &str, mark: &str) -> f64 {
    let rest = line.split_once(mark).unwrap().1;
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}
