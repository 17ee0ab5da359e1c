//! What the access log says of a request.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc::O_NONBLOCK;
use nix::sys::signal::Signal;

use super::harness::{Balancer, Client, Origin, Refusing, directory, pool_at, pool_of};

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
    let (date, fraction) = line["{\"time\":\"".len()..].split_once('.').unwrap();
    let micros = fraction.split(['+', '-', 'Z']).next().unwrap();
    assert!(date.len() == "2026-11-28T00:00:00".len() && micros.len() == 6, "the order can be restored: {line}");
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
    assert_eq!(fields, ["rt", "qt", "ut", "pool", "endpoint", "attempts", "reason", "t", "id"]);
    let told = format!(" pool=app endpoint={} attempts=1 reason=- t=", origin.address());
    assert!(ours.contains(&told) && ours.ends_with(&format!(" id={id}")), "{ours}");
    let (seconds, micros) = ours.split_once(" t=").unwrap().1.split_once(' ').unwrap().0.split_once('.').unwrap();
    assert!(seconds.len() == 10 && micros.len() == 6, "the order can be restored: {ours}");
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

#[test]
fn a_pipe_without_a_reader_stops_nothing_and_its_lines_are_counted_until_somebody_reads() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let pipe = directory.join("access.pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tables = format!("{}[access_log]\nformat = \"json\"\npath = {pipe:?}\n", pool_of(&[&origin]));
    let mut balancer = Balancer::start_in(directory, "", &tables);
    let mut client = Client::of(&balancer);
    for _ in 0..3 {
        assert_eq!(client.get("/lost").status(), 200);
    }
    balancer.await_stderr(&format!("the access log {}: lines are being lost: the pipe has no reader", pipe.display()));
    let lost = || lost_lines(&balancer);
    super::harness::eventually(|| format!("3 lost lines, not {}", lost()), || (lost() == 3).then_some(()));
    let mut reader = BufReader::new(std::fs::File::options().read(true).custom_flags(O_NONBLOCK).open(&pipe).unwrap());
    let (mut line, mut asked) = (String::new(), 0);
    super::harness::eventually(
        || "a line for the reader".into(),
        || {
            asked += 1;
            assert_eq!(client.get("/read").status(), 200);
            let _ = reader.read_line(&mut line);
            line.ends_with('\n').then_some(())
        },
    );
    assert!(line.starts_with("{\"time\":") && line.contains("\"target\":\"/read\""), "{line}");
    let said = balancer.await_stderr("works again; ");
    assert_eq!(said.matches("lines are being lost").count(), 1, "{said}");
    // One that reads and then leaves costs lines, and nothing else.
    drop(reader);
    let before = lost_lines(&balancer);
    assert_eq!(client.get("/gone").status(), 200);
    super::harness::eventually(|| "a lost line".into(), || (lost_lines(&balancer) > before).then_some(()));
    balancer.signal(Signal::SIGTERM);
    assert!(balancer.ended().success());
}

#[test]
fn a_disk_that_is_full_is_said_once_and_check_warns_of_what_cannot_be_opened() {
    let origin = Origin::named("1");
    let tables = format!("{}[access_log]\npath = \"/dev/full\"\n", pool_of(&[&origin]));
    let mut balancer = Balancer::start("", &tables);
    for number in 1..=3 {
        assert_eq!(Client::of(&balancer).get("/").status(), 200);
        super::harness::eventually(|| "a lost line".into(), || (lost_lines(&balancer) == number).then_some(()));
    }
    let said = balancer.await_stderr("the access log /dev/full: lines are being lost: No space left on device");
    assert_eq!(said.matches("lines are being lost").count(), 1, "{said}");
    let config = balancer.directory().join("lb.toml");
    let pipe = balancer.directory().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, warning) in [
        ("/proc/access.log", "warning: cannot open the access log /proc/access.log: ".to_owned()),
        (pipe.to_str().unwrap(), format!("warning: the access log {} is a pipe without a reader: ", pipe.display())),
    ] {
        let text = std::fs::read_to_string(&config).unwrap().replace("/dev/full", path);
        let other = balancer.directory().join("other.toml");
        std::fs::write(&other, text).unwrap();
        let output = super::program::run(&["check", "--config", other.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(&warning), "{said}");
    }
}

#[test]
fn dev_stdout_is_stdout_also_where_that_is_a_socket() {
    let origin = Origin::named("1");
    let config = format!("listen = \"127.0.0.1:0\"\n{}[access_log]\npath = \"/dev/stdout\"\n", pool_of(&[&origin]));
    let path = super::program::file("dev-stdout", &config);
    let (ours, its) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = super::program::balancer(&["--config", path.to_str().unwrap()]);
    let program = super::program::Program::start_into(&mut command, std::os::fd::OwnedFd::from(its));
    assert_eq!(super::program::get(program.address(), "/a").unwrap().0, 200);
    let mut line = String::new();
    BufReader::new(ours).read_line(&mut line).unwrap();
    assert!(line.contains("\"GET /a HTTP/1.1\" 200 "), "{line}");
}

/// Lines of the access log that were lost, as the metrics tell.
fn lost_lines(balancer: &Balancer) -> u64 {
    let mut stream = std::os::unix::net::UnixStream::connect(balancer.admin_socket()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let rest = text.split_once("\nbalancer_log_lines_lost_total{log=\"access_log\"} ").unwrap().1;
    rest.lines().next().unwrap().parse().unwrap()
}

fn seconds(line: &str, mark: &str) -> f64 {
    let rest = line.split_once(mark).unwrap().1;
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}
