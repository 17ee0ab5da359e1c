//! Every value of a file arrives where it belongs.

use std::time::Duration;

use super::*;

/// One listener.
const LISTEN: &str = "listen = \"127.0.0.1:8080\"\n";

#[test]
fn the_smallest_file_is_all_defaults() {
    let text = "listen = \"127.0.0.1:8080\"\n[pool.app.workers]\ncommand = [\"julia\", \"server.jl\", \"{port}\"]\ncount = 2\n";
    let command = ["julia", "server.jl", "{port}"].map(str::to_owned).to_vec();
    let workers = Workers { count: 2, ..Workers::new(command) };
    let pool = Pool { workers: Some(workers), ..Pool::new("app") };
    assert_eq!(parse(text, "lb.toml").unwrap(), Config::new(tcp("127.0.0.1:8080"), pool));
}

#[test]
fn every_value_of_the_top_level_arrives_where_it_belongs() {
    let text = r#"
listen = ["0.0.0.0:80", "[::]:80", { address = "unix:/run/lb.sock", mode = "0660", group = "0" }, "fd:web"]
threads = 3
connections_max = 1000
header_timeout = "1s"
keep_alive_timeout = "2s"
body_timeout = "3s"
body_rate_min = "0B"
response_rate_min = "1KiB"
header_bytes_max = "8KiB"
body_bytes_max = "1GB"
ambiguous_fields = "refuse"
upgrades = ["WebSocket", "irc/6.9"]
expose_request_id = true
spool_dir = "/tmp"
spool_max = "2GiB"
drain_timeout = "0s"
trusted_proxies = ["10.0.0.0/8", "::1"]
proxy_protocol_from = ["10.0.0.0/8"]
h2c = true
user = "root"
group = 0

[pool.app]
endpoints = ["10.0.0.1:80"]
"#;
    let endpoint = Endpoint::new(Address::Tcp { host: Host::Ip("10.0.0.1".parse().unwrap()), port: 80 });
    let pool = Pool { endpoints: vec![endpoint], ..Pool::new("app") };
    let expected = Config {
        listen: vec![
            tcp("0.0.0.0:80"),
            tcp("[::]:80"),
            ListenAddress::Unix(UnixSocket { mode: 0o660, group: Some("0".into()), ..UnixSocket::new("/run/lb.sock") }),
            ListenAddress::Passed("web".into()),
        ],
        threads: 3,
        connections_max: Some(1000),
        client: ClientLimits {
            header_timeout: Duration::from_secs(1),
            keep_alive_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(3),
            body_rate_min: 0,
            response_rate_min: 1_024,
            header_bytes_max: 8192,
            body_bytes_max: 1_000_000_000,
            ambiguous_fields: AmbiguousFields::Refuse,
            upgrades: vec!["websocket".into(), "irc/6.9".into()],
            expose_request_id: true,
            h2c: true,
            proxy_protocol_from: vec!["10.0.0.0/8".parse().unwrap()],
        },
        spool: Spool { directory: Some("/tmp".into()), bytes_max: 2 << 30 },
        drain_timeout: Duration::ZERO,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        identity: Identity { user: Some("root".into()), group: Some("0".into()) },
        ..Config::new(tcp("0.0.0.0:80"), pool)
    };
    assert_eq!(parse(text, "lb.toml").unwrap(), expected);
}

#[test]
fn every_value_of_a_pool_arrives_where_it_belongs() {
    let text = r#"
[pool.web]
policy = "hash"
hash_key = "header:X-Tenant"
affinity = { cookie = "lb" }
endpoints = [
    "Localhost:8000",
    "[::1]:8001",
    { address = "unix:/run/a.sock", weight = 256 },
    { address = "10.0.0.1:80", backup = true },
]
proxy_protocol = "v1"
connect_timeout = "10ms"
response_timeout = "20ms"
idle_timeout = "30ms"
request_timeout = "40ms"
tunnel_idle_timeout = "45ms"
keep_alive_timeout = "50ms"
tunnel_drain_timeout = "40ms"
attempts_max = 16
retry_budget = "150%"
idle_connections_max = 0
eject_after = 0
eject_time = "60ms"
panic_threshold = "25%"
slow_start = "70ms"
probe = { path = "/up?x", interval = "80ms", timeout = "90ms", rise = 4, fall = 5, status = "204, 300-302" }
"#;
    let endpoint = |host, port| Endpoint::new(Address::Tcp { host, port });
    let web = Pool {
        policy: Policy::Hash(HashKey::Header("x-tenant".into())),
        affinity: Some(Affinity { cookie: "lb".into() }),
        endpoints: vec![
            endpoint(Host::Name("localhost".into()), 8000),
            endpoint(Host::Ip("::1".parse().unwrap()), 8001),
            Endpoint { weight: 256, ..Endpoint::new(Address::Unix("/run/a.sock".into())) },
            Endpoint { backup: true, ..endpoint(Host::Ip("10.0.0.1".parse().unwrap()), 80) },
        ],
        timeouts: UpstreamTimeouts {
            connect: Duration::from_millis(10),
            response: Duration::from_millis(20),
            idle: Duration::from_millis(30),
            request: Some(Duration::from_millis(40)),
            tunnel_idle: Some(Duration::from_millis(45)),
            tunnel_drain: Duration::from_millis(40),
            keep_alive: Duration::from_millis(50),
        },
        proxy_protocol: Some(ProxyProtocol::V1),
        attempts_max: 16,
        retry_budget: 1.5,
        idle_connections_max: 0,
        health: Health {
            eject_after: 0,
            eject_time: Duration::from_millis(60),
            panic_threshold: 0.25,
            slow_start: Duration::from_millis(70),
            probe: Some(Probe {
                question: Some(Question { announced: Some(ProxyProtocol::V1), ..Question::of("/up?x") }),
                interval: Duration::from_millis(80),
                timeout: Duration::from_millis(90),
                rise: 4,
                fall: 5,
                status: StatusSet::of(&[204..=204, 300..=302]),
            }),
        },
        ..Pool::new("web")
    };
    let parsed = parse(&format!("{LISTEN}{text}"), "lb.toml").unwrap();
    let status = &parsed.pools[0].health.probe.as_ref().unwrap().status;
    let taken: Vec<u16> = (0..=999).filter(|code| status.contains(*code)).collect();
    assert_eq!(taken, [204, 300, 301, 302]);
    assert_eq!(parsed, Config::new(tcp("127.0.0.1:8080"), web));
}

#[test]
fn every_value_of_workers_arrives_where_it_belongs() {
    let text = r#"
[pool.app.workers]
command = ["sh", "-c", "exec serve $PORT ${x} {{y}} '{\"a\": 1}'", "{pool}-{index}"]
count = 4
first_port = 8000
directory = "/"
env = { MODE = "fast" }
env_file = "/etc/os-release"
env_clear = true
user = "1000"
ready = { line = "Listening" }
ready_timeout = "1m 30s"
stop_signal = "QUIT"
stop_timeout = "0s"
backoff = { max = "5s" }
output = "null"
"#;
    let command = ["sh", "-c", "exec serve $PORT ${x} {{y}} '{\"a\": 1}'", "{pool}-{index}"];
    let workers = Workers {
        count: 4,
        first_port: Some(8000),
        directory: Some("/".into()),
        env: [("MODE".to_owned(), "fast".to_owned())].into(),
        env_file: Some("/etc/os-release".into()),
        env_clear: true,
        identity: Identity { user: Some("1000".into()), group: None },
        ready: Ready::Line("Listening".into()),
        ready_timeout: Duration::from_secs(90),
        stop_signal: StopSignal::Quit,
        stop_timeout: Duration::ZERO,
        backoff: Backoff { max: Duration::from_secs(5), ..Backoff::default() },
        output: Output::Null,
        ..Workers::new(command.map(str::to_owned).to_vec())
    };
    let app = Pool { workers: Some(workers), ..Pool::new("app") };
    let parsed = parse(&format!("{LISTEN}{text}"), "lb.toml").unwrap();
    assert_eq!(parsed, Config::new(tcp("127.0.0.1:8080"), app));
}

#[test]
fn every_value_of_routes_the_access_log_and_admin_arrives_where_it_belongs() {
    let text = r#"
[pool.web]
endpoints = ["10.0.0.1:80"]

[pool.app]
endpoints = ["10.0.0.1:80"]

[[route]]
host = "*.Example.com"
path = "/api"
pool = "app"

[[route]]
host = "[::1]"
pool = "web"

[access_log]
format = "json"
path = "/tmp/access.log"
sample = "1%"
[admin]
socket = "/run/lb-admin.sock"
address = "127.0.0.1:9100"
explain = false
"#;
    let endpoint = Endpoint::new(Address::Tcp { host: Host::Ip("10.0.0.1".parse().unwrap()), port: 80 });
    let pool = |name| Pool { endpoints: vec![endpoint.clone()], ..Pool::new(name) };
    let expected = Config {
        pools: vec![pool("web"), pool("app")],
        routes: vec![
            Route { host: HostPattern::Suffix(".example.com".into()), path: "/api".into(), pool: "app".into() },
            Route { host: HostPattern::Exact("[::1]".into()), ..Route::all("web") },
        ],
        access_log: AccessLog {
            format: AccessLogFormat::Json,
            path: AccessLogPath::File("/tmp/access.log".into()),
            sample: 0.01,
        },
        admin: Admin {
            socket: Some("/run/lb-admin.sock".into()),
            address: Some("127.0.0.1:9100".parse().unwrap()),
            token_file: None,
            explain: false,
        },
        ..Config::new(tcp("127.0.0.1:8080"), pool("web"))
    };
    assert_eq!(parse(&format!("{LISTEN}{text}"), "lb.toml").unwrap(), expected);
}

#[test]
fn an_empty_probe_asks_for_a_connection() {
    let text = "listen = \"127.0.0.1:1\"\n[pool.app]\nendpoints = [\"a:1\"]\n[pool.app.probe]\n";
    assert_eq!(parse(text, "lb.toml").unwrap().pools[0].health.probe, Some(Probe::default()));
}
