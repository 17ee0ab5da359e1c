//! A standing adversary: what a stranger, a worker or a neighbour tries again and again, at random and from a fixed seed, and what
//! must never follow. `SECURITY.md` says what is promised.

use std::io::{Read, Write};
use std::net::TcpStream;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::admin::{admin_address, ask};
use super::harness::{Balancer, Client, Ended, Exchange, Origin, PATIENCE, directory, ok, pool_of};

#[test]
fn no_worker_reads_the_path_of_another_pool_in_what_it_gets() {
    let (public, hidden) = (Origin::named("public"), Origin::named("hidden"));
    let tables = format!(
        "[pool.public]\nendpoints = [\"{}\"]\n[pool.hidden]\nendpoints = [\"{}\"]\n\
         [[route]]\npool = \"public\"\n[[route]]\npath = \"/admin\"\npool = \"hidden\"\n",
        public.address(),
        hidden.address()
    );
    let balancer = Balancer::start("", &tables);
    let mut rng = SmallRng::seed_from_u64(7);
    let mut refused = 0;
    for _ in 0..600 {
        let mut target = "/".to_owned();
        for _ in 0..rng.random_range(1..8) {
            target.push_str(PARTS[rng.random_range(0..PARTS.len())]);
        }
        let mut client = Client::of(&balancer);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response();
        refused += usize::from(response.status() == 400);
        assert!(matches!(response.status(), 200 | 400), "{target}: {response:?}");
    }
    let requests = public.requests();
    assert!(requests.len() > 100 && refused > 30, "{} and {refused}", requests.len());
    for request in requests {
        let target = request.line.split(' ').nth(1).unwrap();
        for (server, path) in readings(target) {
            let first = path.trim_start_matches('/').split('/').next();
            assert_ne!(first, Some("admin"), "{server} reads {path} in {target}");
        }
    }
}

const PARTS: [&str; 22] = [
    "/", "/", "/", "x", "admin", "admin", "%61dmin", "..", "..", ".", "%2e%2e", "%2f", "%2F", "%5c", "\\", ";", "%3b",
    "v=1", "%00", "%20", "%0a", "%3f",
];

/// What servers make of a target, each in its own way and none by our code.
fn readings(target: &str) -> Vec<(&'static str, String)> {
    let decoded = |text: &str| {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let code = rest.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
            out.push(code.map_or('%', char::from));
            rest = &rest[at + if code.is_some() { 3 } else { 1 }..];
        }
        out + rest
    };
    let resolved = |text: &str| {
        let mut segments: Vec<&str> = Vec::new();
        for segment in text.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        format!("/{}", segments.join("/"))
    };
    let without_parameters = |text: &str| {
        let names: Vec<&str> = text.split('/').map(|segment| segment.split(';').next().unwrap()).collect();
        names.join("/")
    };
    let trimmed = |text: &str| {
        let names: Vec<&str> = text.split('/').map(|segment| segment.trim_end()).collect();
        names.join("/")
    };
    let turned = target.replace('\\', "/");
    let behind = turned.strip_prefix("//").and_then(|rest| Some(rest[rest.find('/')?..].to_owned()));
    vec![
        ("WSGI", decoded(target)),
        ("PHP", resolved(&decoded(target))),
        ("Tomcat", resolved(&decoded(&without_parameters(target)))),
        ("a servlet that decodes first", resolved(&without_parameters(&decoded(target)))),
        ("IIS", resolved(&trimmed(&decoded(target).replace('\\', "/")))),
        ("Node's URL", decoded(&resolved(&behind.unwrap_or(turned).replace("%2e", ".")))),
        ("C", decoded(target).split('\0').next().unwrap().to_owned()),
        ("who splits late", decoded(target).split('?').next().unwrap().to_owned()),
        ("a regular expression", decoded(target).trim_end().to_owned()),
    ]
}

#[test]
fn a_stranger_says_nothing_about_itself_however_it_spells_it() {
    let mut rng = SmallRng::seed_from_u64(11);
    for ambiguous in ["drop", "pass"] {
        let origin = Origin::named("1");
        let balancer = Balancer::start(&format!("ambiguous_fields = \"{ambiguous}\""), &pool_of(&[&origin]));
        let mut client = Client::of(&balancer);
        for round in 1..=40 {
            let fields: String = (0..20).map(|_| format!("{}: 6.6.6.6\r\n", statement(&mut rng))).collect();
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n{fields}\r\n\
                 2\r\nhi\r\n0\r\nX-Sum: {round}\r\n{fields}\r\n"
            ));
            assert_eq!(client.response().status(), 200, "{fields}");
        }
        origin.await_requests(40);
        let bytes: String = (0..origin.connections()).map(|connection| origin.bytes(connection)).collect();
        let said = bytes.lines().find(|line| line.contains("6.6.6.6"));
        assert!(said.is_none() && bytes.contains("X-Sum: 40"), "{ambiguous}: {said:?}");
    }
}

/// The name of a statement about a client, with another byte for each `-` and any case.
fn statement(rng: &mut SmallRng) -> String {
    const NAMES: [&str; 8] = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Client-Cert",
        "X-Forwarded",
        "Forwarded",
        "X-Real-IP",
        "X-Forwarded-User-",
    ];
    let name = NAMES[rng.random_range(0..NAMES.len())];
    let spelled = name.chars().map(|c| match c {
        '-' => char::from(b"--_.~!+^|'*`#$&"[rng.random_range(0..15)]),
        c if rng.random_bool(0.5) => c.to_ascii_uppercase(),
        c => c.to_ascii_lowercase(),
    });
    spelled.collect()
}

#[test]
fn whatever_a_stranger_sends_the_log_has_one_line_for_it_that_shows_what_it_says() {
    let mut rng = SmallRng::seed_from_u64(13);
    let bits = [
        "\"",
        "\\",
        "\\\"",
        "\u{85}",
        "\u{9b}31m",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}",
        "\u{2066}",
        "\u{200f}",
        "é",
        "',",
        "}",
        "{\"a\":1}",
    ];
    for format in ["json", "combined"] {
        let origin = Origin::named("1");
        let directory = directory();
        let log = format!("[access_log]\nformat = \"{format}\"\npath = {:?}\n", directory.join("access.log"));
        let balancer = Balancer::start_in(directory, "", &format!("{}{log}", pool_of(&[&origin])));
        let mut client = Client::of(&balancer);
        for round in 0..100 {
            let mut text = || (0..4).map(|_| bits[rng.random_range(0..bits.len())]).collect::<String>();
            client.send(format!(
                "GET /{round}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: {}\r\nReferer: {}\r\n\r\n",
                text(),
                text()
            ));
            assert_eq!(client.response().status(), 200);
        }
        balancer.logged(&["/99/"]);
        let text = std::fs::read_to_string(balancer.directory().join("access.log")).unwrap();
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        assert_eq!(lines.len(), 100);
        for (round, line) in lines.iter().enumerate() {
            assert!(line.contains(&format!("/{round}/")) && !line.contains(is_active), "{line:?}");
            assert!(format == "combined" || serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            assert!(format == "json" || line.is_ascii(), "{line}");
        }
    }
}

fn is_active(c: char) -> bool {
    c.is_control()
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
        || c == '\u{200f}'
}

#[test]
fn a_worker_cannot_print_a_line_of_another_or_move_the_cursor() {
    let script = r"printf 'x\rapp.1 | forged \033[2J\033[31mred\033[0m\302\233 \342\200\256y\n'; exec sleep 1000";
    let origin = Origin::named("1");
    let tables = format!(
        "{}[pool.bad.workers]\ncommand = [\"sh\", \"-c\", '''{script}''']\n[[route]]\npool = \"app\"\n",
        pool_of(&[&origin])
    );
    let balancer = Balancer::start("", &tables);
    let shown = "bad.1 | x\\u000dapp.1 | forged \\u001b[2J\u{1b}[31mred\u{1b}[0m\\u009b \\u202ey";
    assert_eq!(balancer.logged_in("stdout", &["forged"]), shown);
    let (code, said) = balancer.run(&["logs", "bad"]);
    assert!(code == 0 && said.contains(shown), "{said:?}");
}

#[test]
fn idle_strangers_at_the_admin_address_delay_nobody_and_are_sent_away() {
    let (directory, origin) = (directory(), Origin::named("1"));
    let token = directory.join("token");
    std::fs::write(&token, "a-long-random-word-0\n").unwrap();
    let tables = format!("{}[admin]\naddress = \"127.0.0.1:0\"\ntoken_file = {token:?}\n", pool_of(&[&origin]));
    let mut balancer = Balancer::start_in(directory, "", &tables);
    let address = admin_address(&mut balancer);
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // Who has shown the token stays as long as it likes, whoever else comes.
    let mut known = connect();
    let head = "GET /api/events?follow=1 HTTP/1.1\r\nHost: lb\r\nAuthorization: Bearer a-long-random-word-0\r\n\r\n";
    known.write_all(head.as_bytes()).unwrap();
    until(&mut known, "\r\n\r\n");
    let mut idle: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    idle[199].write_all(b"GET /healthz HTTP/1.1\r\nHost: l").unwrap();
    for _ in 0..5 {
        assert!(ask(&address, "GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "));
        let metrics = "GET /metrics HTTP/1.0\r\nAuthorization: Bearer a-long-random-word-0\r\n\r\n";
        assert!(ask(&address, metrics).starts_with("HTTP/1.0 200 "));
    }
    for stream in &mut idle {
        let mut rest = Vec::new();
        // Reset or closed: it is over, and not by our own patience.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    assert_eq!(balancer.run(&["reload"]).0, 0);
    until(&mut known, "nothing to do");
}

fn until(stream: &mut TcpStream, mark: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(mark.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {}", seen.escape_ascii()));
        seen.push(byte[0]);
    }
}

#[test]
fn a_page_in_the_operator_s_browser_gets_nothing_from_the_admin_address() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("", &format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", pool_of(&[&origin])));
    let address = admin_address(&mut balancer);
    for (request, status) in [
        // A name that was made to mean this machine, and look-alikes of addresses.
        (format!("GET /api/status HTTP/1.1\r\nHost: evil.test\r\n{CLOSE}"), 403),
        (format!("GET /api/status HTTP/1.1\r\nHost: [::1].evil\r\n{CLOSE}"), 403),
        (format!("GET /api/status HTTP/1.1\r\nHost: 127.0.0.1.evil.test\r\n{CLOSE}"), 403),
        // What two readers could take for two hosts.
        (format!("GET /api/status HTTP/1.1\r\n{CLOSE}"), 400),
        (format!("GET /api/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n{CLOSE}"), 400),
        (format!("GET http://evil.test/api/status HTTP/1.1\r\nHost: localhost\r\n{CLOSE}"), 400),
        // A form that a page of others sends.
        (format!("POST /api/stop HTTP/1.1\r\nHost: {address}\r\nOrigin: http://evil.test\r\n{CLOSE}"), 403),
        (format!("POST /api/stop HTTP/1.1\r\nHost: {address}\r\nOrigin: null\r\n{CLOSE}"), 403),
        (format!("GET /api/status HTTP/1.1\r\nHost: {address}\r\n{CLOSE}"), 200),
    ] {
        let answer = ask(&address, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    assert_eq!(Client::of(&balancer).get("/").status(), 200, "nobody has stopped it");
}

const CLOSE: &str = "Connection: close\r\n\r\n";

#[test]
fn a_client_whose_requests_fail_everywhere_takes_no_endpoint_from_others() {
    let origins = [(); 2].map(|()| {
        Origin::start(|mut exchange: Exchange| {
            while let Some(request) = exchange.request() {
                let failed = "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n".to_owned();
                match request.target() {
                    "/closes" => return,
                    "/fails" => exchange.send(failed),
                    _ => exchange.send(ok("here")),
                };
            }
        })
    });
    let balancer = Balancer::start("", &(pool_of(&[&origins[0], &origins[1]]) + "eject_after = 3\nattempts_max = 1\n"));
    let mut other = Client::of(&balancer);
    for _ in 0..20 {
        // Each has its turn at both.
        for _ in 0..2 {
            assert_eq!(other.get("/").text(), "here");
        }
        let mut stranger = Client::from([127, 0, 0, 2].into(), balancer.address());
        for _ in 0..10 {
            assert_eq!(stranger.get("/fails").status(), 500);
        }
        for _ in 0..10 {
            assert_eq!(stranger.get("/closes").status(), 502);
        }
    }
    let served = |origin: &Origin| origin.requests().iter().filter(|request| request.target() == "/").count();
    assert_eq!((served(&origins[0]), served(&origins[1])), (20, 20), "nobody was out for a moment");
}

#[test]
fn clients_that_ask_for_little_at_a_time_cost_others_nothing() {
    let origin = Origin::start(|mut exchange: Exchange| {
        while let Some(request) = exchange.request() {
            let large = request.line.contains("/large");
            if !exchange.send(ok(if large { &LARGE } else { "small" })) {
                return;
            }
        }
    });
    let balancer = Balancer::before(&[&origin]);
    let half: Vec<Client> = (0..400)
        .map(|number| {
            let mut client = Client::of(&balancer);
            client.send(&b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "[..number % 30]);
            client
        })
        .collect();
    let slow: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::slow_reader(&balancer);
            client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    let names = vec!["x-a"; 10_000].join(",");
    for _ in 0..50 {
        let mut costly = Client::of(&balancer);
        costly.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {names}\r\n{}\r\n", "X-A: 1\r\n".repeat(90)));
        assert_eq!(costly.response().status(), 431);
        assert_eq!(Client::of(&balancer).get("/").text(), "small");
    }
    drop((half, slow));
    let mut client = Client::of(&balancer);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "small");
    assert_eq!(client.rest(), (String::new(), Ended::Close));
}

static LARGE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "z".repeat(4 << 20));
