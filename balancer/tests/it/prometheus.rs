//! What a real Prometheus makes of our metrics, and the files of `deploy/prometheus` and `deploy/grafana`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::admin::{admin_address, ask, status, until_ready};
use super::harness::{Balancer, Client, Origin, Refusing, directory, eventually};
use super::program::{PROGRAM, needs, repository};

/// A Prometheus that scrapes one balancer as our file says, only oftener.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    fn scraping(target: &str) -> Self {
        let folder = directory();
        let ours = std::fs::read_to_string(repository("deploy/prometheus/prometheus.yml")).unwrap();
        let rules = repository("deploy/prometheus/alerts.yml");
        let text = ours
            .replace("127.0.0.1:9100\"]", &format!("{target}\"]"))
            .replace("interval: 15s", "interval: 200ms")
            .replace("- alerts.yml", &format!("- {}", rules.display()));
        assert!(text.contains(target) && text.matches("200ms").count() == 2, "{text}");
        std::fs::write(folder.join("prometheus.yml"), text).unwrap();
        // Free a moment before; Prometheus takes no port 0 and tells which it got.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, address, folder }
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// What a query has as its result; nothing while Prometheus starts.
    fn query(&self, query: &str) -> Vec<f64> {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        let escaped: String = query.bytes().map(escape).collect();
        let Some(text) = self.get(&format!("/api/v1/query?query={escaped}")) else { return Vec::new() };
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        let samples = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        samples.iter().filter_map(|sample| sample["value"][1].as_str()?.parse().ok()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Every query of the dashboard, with the title of its panel, its variables filled in.
fn queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository("deploy/grafana/balancer.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let each = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().clone();
        let filled =
            |query: &str| query.replace("$instance", ".*").replace("$pool", ".*").replace("$__rate_interval", "1m");
        targets
            .into_iter()
            .map(move |target| (title.clone(), filled(target["expr"].as_str().unwrap())))
            .collect::<Vec<_>>()
    };
    dashboard["panels"].as_array().unwrap().iter().flat_map(each).collect()
}

/// Ends with what a tool says, where that is not what it should be.
fn promtool(arguments: &[&str], input: Option<&str>) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
#[cfg_attr(not(has = "promtool"), ignore = "needs promtool")]
fn promtool_finds_nothing_wrong_with_our_files_and_our_metrics() {
    needs("promtool");
    let file = |name: &str| repository("deploy/prometheus").join(name).display().to_string();
    promtool(&["check", "rules", &file("alerts.yml")], None);
    promtool(&["test", "rules", &file("alerts.test.yml")], None);
    for config in ["prometheus.yml", "compose.yml"] {
        promtool(&["check", "config", "--syntax-only", &file(config)], None);
    }
    let (mut balancer, _others) = busy();
    ask_for_all(&balancer);
    let address = admin_address(&mut balancer);
    let text = ask(&address, "GET /metrics HTTP/1.0\r\n\r\n");
    let said = promtool(&["check", "metrics"], text.split_once("\r\n\r\n").map(|(_, body)| body));
    assert_eq!(said, "", "{text}");
}

#[test]
fn open_metrics_are_for_who_asks_for_them() {
    let origin = Origin::named("1");
    let mut balancer =
        Balancer::start("", &format!("{}[admin]\naddress = \"127.0.0.1:0\"\n", super::harness::pool_of(&[&origin])));
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    let address = admin_address(&mut balancer);
    let get = |accept: &str| ask(&address, &format!("GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n"));
    // A request is counted a moment after its client has the last byte.
    let counted = || {
        let text = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        text.contains("balancer_requests_total{pool=\"app\"").then_some(text)
    };
    let open = eventually(|| "a request that is counted".into(), counted);
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{open}");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE balancer_requests counter\n"), "{open}");
    let plain = get("text/plain");
    assert!(plain.contains("version=0.0.4") && !plain.contains("# EOF"), "{plain}");
}

#[test]
#[cfg_attr(not(has = "prometheus"), ignore = "needs prometheus")]
fn every_panel_and_rule_has_data_of_a_real_prometheus_through_a_kill_a_roll_and_a_reload() {
    needs("prometheus");
    let (mut balancer, _others) = busy();
    until_ready(&balancer, 2);
    let prometheus = Prometheus::scraping(&admin_address(&mut balancer));
    let scraped = || (prometheus.query("up") == [1.0]).then_some(());
    eventually(|| prometheus.log(), scraped);

    ask_for_all(&balancer);
    let pid = status(&balancer)["pools"][0]["workers"]["all"][0]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    // That it is gone is seen before it is waited for.
    let restarted =
        || (!prometheus.query("sum(balancer_worker_restarts_total{reason=\"died\"}) > 0").is_empty()).then_some(());
    eventually(|| prometheus.log(), restarted);
    until_ready(&balancer, 2);
    assert_eq!(balancer.run(&["restart", "app"]).0, 0);
    let file = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("queue_max = 100", "queue_max = 101")).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);

    let mut tunnel = Client::of(&balancer);
    tunnel.send(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(tunnel.response().status(), 101);

    let all = queries();
    assert!(all.len() > 33, "{}", all.len());
    // A quantile of nothing is no number.
    let has_data = |query: &str| prometheus.query(query).iter().any(|value| !value.is_nan());
    let without = || -> Vec<&(String, String)> { all.iter().filter(|(_, query)| !has_data(query)).collect() };
    eventually(
        || format!("data for {:?}", without()),
        || {
            ask_for_all(&balancer);
            without().is_empty().then_some(())
        },
    );
    // Whoever counts anew would look like a loss, and who did not answer like an outage.
    assert!(prometheus.query("resets(balancer_requests_total[5m]) > 0 or resets(balancer_endpoint_requests_total{pool!=\"app\"}[5m]) > 0").is_empty());
    assert_eq!(prometheus.query("min_over_time(up[5m])"), [1.0]);
    let rules: Value = serde_json::from_str(&prometheus.get("/api/v1/rules").unwrap()).unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), 15);
    for rule in &rules {
        assert!(rule["lastError"].as_str().unwrap_or_default().is_empty() && rule["health"] != "err", "{rule}");
    }
}

/// A balancer of which every metric has something to say, and those it balances over.
fn busy() -> (Balancer, (Origin, Refusing)) {
    let cut = Origin::once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
    let refusing = Refusing::start();
    let tables = format!(
        "[pool.app]\nslots = 1\nqueue_max = 100\n[pool.app.workers]\ncommand = [{PROGRAM:?}, \"backend\", \"{{port}}\"]\ncount = 2\n\
         [pool.cut]\nendpoints = [{:?}, {:?}]\neject_after = 0\n\
         [[route]]\npool = \"app\"\n[[route]]\npath = \"/cut\"\npool = \"cut\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n",
        refusing.address(),
        cut.address(),
    );
    (Balancer::start("", &tables), (cut, refusing))
}

/// Requests that are answered, wait, are refused, tried again, and broken off.
fn ask_for_all(balancer: &Balancer) {
    let mut clients: Vec<Client> = (0..6).map(|_| Client::of(balancer)).collect();
    for client in &mut clients {
        client.send("GET /delay?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        client.await_answer();
    }
    for _ in 0..2 {
        let mut client = Client::of(balancer);
        client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
        client.await_answer();
    }
    let mut wrong = Client::of(balancer);
    wrong.send("nonsense\r\n\r\n");
    wrong.await_answer();
}

#[test]
fn the_dashboard_names_only_metrics_that_the_manual_has() {
    let page = std::fs::read_to_string(repository("docs/metrics.md")).unwrap();
    let alerts = std::fs::read_to_string(repository("deploy/prometheus/alerts.yml")).unwrap();
    let expressions = queries().into_iter().map(|(_, query)| query).chain([alerts]);
    let named = |text: &str| -> Vec<String> {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let words = text
            .split(|character| !is_part(character))
            .filter(|word| word.starts_with("balancer_") || word.starts_with("process_"));
        words.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
    };
    let unknown: Vec<String> =
        expressions.flat_map(|text| named(&text)).filter(|name| !page.contains(&format!("| `{name}` |"))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
