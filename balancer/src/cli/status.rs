//! `balancer status`: pools, endpoints and workers at this moment.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::say::{WRONG_ARGUMENTS, fail, show};
use super::target::{NOT_RUNNING, Target};
use super::text::{self, aligned};
use crate::config::nearest;
use crate::shown;

/// In which form.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Show this pool only
    pool: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print nothing; the exit code is 0 when every pool takes requests, else 3 (for a HEALTHCHECK)
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: Options, config: Option<PathBuf>) -> ExitCode {
    let answer = match options.target.or(config).quiet(options.quiet).ask("GET", "/api/status") {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let text = match answer.text() {
        Ok(text) => text,
        Err(error) => return fail(&format!("balancer: no further answer: {error}")),
    };
    let Ok(mut status) = serde_json::from_str::<Value>(&text) else {
        return fail("balancer: the answer is not the status of a balancer");
    };
    if let Some(name) = &options.pool
        && let Err(text) = only(&mut status, name)
    {
        fail(&format!("balancer: {text}"));
        return ExitCode::from(WRONG_ARGUMENTS);
    }
    let text = if options.json { format!("{status}\n") } else { table(&status) };
    let code = if options.quiet { ExitCode::SUCCESS } else { show(&text) };
    // Scripts ask whether there is service.
    let serves = match options.pool {
        None => status["ready"] == true,
        Some(_) => each(&status["pools"][0]["endpoints"]).any(|endpoint| endpoint["state"] == "up"),
    };
    if serves { code } else { ExitCode::from(NOT_RUNNING) }
}

/// Leaves one pool.
fn only(status: &mut Value, name: &str) -> Result<(), String> {
    let Some(pools) = status["pools"].as_array_mut() else { return Ok(()) };
    let names: Vec<String> = pools.iter().map(|pool| word(&pool["name"])).collect();
    pools.retain(|pool| pool["name"] == name);
    match (pools.is_empty(), nearest(name, names.iter().map(String::as_str))) {
        (false, _) => Ok(()),
        (true, Some(near)) => Err(format!("no pool is called {name}; did you mean {near}?")),
        (true, None) => Err(format!("no pool is called {name}; there are {}", shortened(&names))),
    }
}

/// The first few, and how many more.
fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// For people.
fn table(status: &Value) -> String {
    let mut out = String::new();
    let connections = &status["connections"];
    // Writing to memory does not fail, here and below.
    let _ = writeln!(
        out,
        "{} (pid {}, version {}): {}{} for {}; {} of {} connections\n  listens on {}\n  configuration: {}",
        word(&status["name"]),
        status["pid"],
        word(&status["version"]),
        word(&status["state"]),
        if status["ready"] == true { "" } else { ", NOT READY" },
        age(&status["uptime_seconds"]),
        connections["open"],
        connections["max"],
        shortened(&each(&status["listen"]).map(word).collect::<Vec<_>>()),
        word(&status["configuration"]),
    );
    if status["reloads"]["last_ok"] == false {
        out.push_str("the last reload failed: see `balancer events`\n");
    }
    each(&status["pools"]).for_each(|one| pool(&mut out, one));
    // What runs over the edge of a terminal is read by nobody.
    out.lines().map(|line| format!("{}\n", text::cut(line))).collect()
}

/// A pool, its endpoints and its workers.
fn pool(out: &mut String, pool: &Value) {
    let _ = writeln!(
        out,
        "\npool {}: {}/s, p50 {}, p99 {}, {} in flight, {} requests",
        text::shortened(&word(&pool["name"]), 2 * CELL),
        pool["per_second"],
        time(&pool["seconds_p50"]),
        time(&pool["seconds_p99"]),
        pool["in_flight"],
        pool["requests"],
    );
    let mut rows =
        vec![["endpoint", "address", "state", "weight", "in flight", "requests"].map(str::to_owned).to_vec()];
    for endpoint in each(&pool["endpoints"]) {
        let backup = if endpoint["backup"] == true { ", backup" } else { "" };
        let state = format!("{}{backup}", word(&endpoint["state"]));
        let figures = ["weight", "in_flight", "requests"].map(|key| endpoint[key].to_string());
        let [name, address] = ["name", "address"].map(|key| text::shortened(&word(&endpoint[key]), CELL));
        rows.push([vec![name, address, state], figures.to_vec()].concat());
    }
    // A pool of programs without HTTP has processes and no endpoints.
    if rows.len() > 1 || pool["workers"].is_null() {
        aligned(out, &rows);
    }
    each(&pool["dns"]).for_each(|name| dns(out, name));
    queue(out, &pool["queue"]);
    if pool["workers"].is_null() {
        return;
    }
    if let Some(mixed) = pool["workers"]["mixed"].as_str() {
        let _ = writeln!(out, "  {mixed}");
    }
    workers(out, pool);
}

fn workers(out: &mut String, pool: &Value) {
    let heads = ["worker", "state", "pid", "age", "memory", "CPU", "restarts", "last end"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for worker in each(&pool["workers"]["all"]) {
        let replaced = match (&worker["being_replaced"], &worker["finished"]) {
            (Value::Bool(true), _) => ", to be replaced",
            (_, Value::Bool(true)) => ", not started again",
            _ => "",
        };
        rows.push(vec![
            text::shortened(&word(&worker["name"]), CELL),
            format!("{}{replaced}", word(&worker["state"])),
            word(&worker["pid"]),
            age(&worker["age_seconds"]),
            memory(&worker["rss_bytes"]),
            format!("{:.1} s", worker["cpu_seconds"].as_f64().unwrap_or_default()),
            worker["restarts"].to_string(),
            last_end(worker),
        ]);
    }
    aligned(out, &rows);
    if !each(&pool["workers"]["all"]).any(|worker| worker["state"] == "ready" || worker["finished"] == true) {
        let name = word(&pool["name"]);
        let _ =
            writeln!(out, "  no worker is ready: `balancer events` says why, `balancer logs {name}` what they printed");
    }
}

/// A line on the queue of a pool with slots.
fn queue(out: &mut String, queue: &Value) {
    let Some(waiting) = queue["length"].as_u64() else { return };
    let _ = write!(out, "  slots: {} of {} in use, {waiting} waiting", queue["slots_used"], queue["slots"]);
    if waiting > 0 {
        let longest =
            Duration::from_secs_f64(queue["longest_wait_seconds"].as_f64().unwrap_or_default().clamp(0.0, 1e9));
        let _ = write!(out, ", the first for {}", shown::time(longest));
    }
    out.push('\n');
}

/// How a worker ended, without its name, which stands in front, and without what it printed.
fn last_end(worker: &Value) -> String {
    let sentence = worker["last_end"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
    let named = format!("{} (pid ", word(&worker["name"]));
    let rest = sentence.strip_prefix(&named).and_then(|rest| rest.split_once(") "));
    rest.map_or(sentence, |(_, rest)| rest).to_owned()
}

/// A line on a name that is asked for.
fn dns(out: &mut String, name: &Value) {
    let answered = match name["answered_seconds"].as_u64() {
        Some(_) => format!("answered {} ago", age(&name["answered_seconds"])),
        None => "never answered".to_owned(),
    };
    let problem = name["problem"].as_str().map(|problem| format!("; {problem}")).unwrap_or_default();
    let waiting = each(&name["waiting"]).map(word).collect::<Vec<_>>().join(", ");
    let waiting = if waiting.is_empty() { waiting } else { format!("; not taking connections: {waiting}") };
    let count = each(&name["addresses"]).count();
    let plural = if count == 1 { "" } else { "es" };
    let _ = writeln!(out, "  dns {}: {count} address{plural}, {answered}{problem}{waiting}", word(&name["name"]));
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A text without quotes; what is not there is a dash.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn age(seconds: &Value) -> String {
    seconds.as_u64().map_or("-".to_owned(), shown::age)
}

/// Times are known by the bucket they fall into.
fn time(seconds: &Value) -> String {
    match seconds.as_f64() {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("≤ {} ms", (seconds * 10_000.0).round() / 10.0),
        Some(seconds) => format!("≤ {seconds} s"),
    }
}

/// Of a name, so that what is told of it stays in the picture.
const CELL: usize = 28;
/// Names that one reads at a glance.
const NAMES_MAX: usize = 3;

fn memory(bytes: &Value) -> String {
    match bytes.as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(bytes) => shown::size(bytes),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_table_for_people() {
        let worker = json!({
            "name": "app.1", "state": "ready", "pid": 12, "age_seconds": 130, "rss_bytes": 2_097_152, "cpu_seconds": 0.25,
            "restarts": 1, "last_end": "app.1 (pid 11) died\nmore", "being_replaced": false,
        });
        let status = json!({
            "name": "lb", "configuration": "./lb.toml", "state": "serving", "ready": true, "uptime_seconds": 7300, "listen": ["127.0.0.1:1", "unix:/s"],
            "connections": { "open": 3, "max": 9 }, "version": "1", "pid": 5, "reloads": { "last_ok": true },
            "pools": [{
                "name": "app", "queue": { "length": 3, "longest_wait_seconds": 1.25, "slots_used": 2, "slots": 2 }, "per_second": 1.5, "seconds_p50": 0.0005, "seconds_p99": 2.5, "in_flight": 0, "requests": 7,
                "endpoints": [{
                    "name": "app.1", "address": "127.0.0.1:8000", "state": "up", "weight": 1, "backup": true, "in_flight": 0,
                    "requests": 7,
                }],
                "dns": [{ "name": "app:80", "answered_seconds": 1, "problem": null, "addresses": ["10.0.0.1:80", "10.0.0.2:80"],
                    "waiting": ["10.0.0.2:80"] }, { "name": "b:80", "answered_seconds": null, "problem": "no", "addresses": [],
                    "waiting": [] }],
                "workers": { "count": 1, "all": [worker] },
            }],
        });
        let expected = "\
lb (pid 5, version 1): serving for 2 h; 3 of 9 connections
  listens on 127.0.0.1:1, unix:/s
  configuration: ./lb.toml

pool app: 1.5/s, p50 ≤ 0.5 ms, p99 ≤ 2.5 s, 0 in flight, 7 requests
  endpoint  address         state       weight  in flight  requests
  app.1     127.0.0.1:8000  up, backup  1       0          7
  dns app:80: 2 addresses, answered 1 s ago; not taking connections: 10.0.0.2:80
  dns b:80: 0 addresses, never answered; no
  slots: 2 of 2 in use, 3 waiting, the first for 1.2 s
  worker  state  pid  age    memory   CPU    restarts  last end
  app.1   ready  12   2 min  2.0 MiB  0.2 s  1         died
";
        assert_eq!(table(&status), expected);
        let mut nobody = status.clone();
        nobody["pools"][0]["workers"]["all"][0]["state"] = json!("backoff");
        assert!(table(&nobody).ends_with("what they printed\n"), "{}", table(&nobody));
        let mut long = status.clone();
        long["pools"][0]["endpoints"][0]["address"] = json!("a-name-of-an-endpoint.".repeat(6));
        long["pools"][0]["workers"]["all"][0]["last_end"] = json!("died: ".repeat(50));
        long["listen"] = json!(vec!["127.0.0.1:8080"; 30]);
        let name = "a-pool-with-a-name-as-they-are-generated-in-clusters-somewhere".repeat(2);
        for of in ["/pools/0/name", "/pools/0/dns/0/name", "/name", "/configuration"] {
            *long.pointer_mut(of).unwrap() = json!(name);
        }
        for of in ["/pools/0/endpoints/0/name", "/pools/0/workers/all/0/name"] {
            *long.pointer_mut(of).unwrap() = json!(format!("{name}.17"));
        }
        assert!(table(&long).lines().all(|line| line.chars().count() <= 100), "{}", table(&long));
        let rows: Vec<String> = table(&long).lines().filter(|line| line.contains(".17 ")).map(str::to_owned).collect();
        assert!(rows.len() == 2 && rows[0].contains("up, backup  1 ") && rows[1].contains("ready  12 "), "{rows:?}");
        assert!(table(&long).contains(" and 27 more\n"));
        assert_eq!(only(&mut status.clone(), "ap"), Err("no pool is called ap; did you mean app?".to_owned()));
        assert!(only(&mut status.clone(), "app").is_ok());
    }
}
