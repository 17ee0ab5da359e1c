//! `balancer status`: pools, endpoints and workers at this moment.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::rows::{age, each, rows, time, word};
use super::say::{WRONG_ARGUMENTS, fail, show};
use super::target::{NOT_RUNNING, Target};
use super::text;
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
    let (_, text) = match options.target.or(config).quiet(options.quiet).read("/api/status") {
        Ok(read) => read,
        Err(code) => return code,
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
        Some(_) => status["pools"][0]["ready"] == true,
    };
    if serves { code } else { ExitCode::from(NOT_RUNNING) }
}

/// Leaves one pool.
fn only(status: &mut Value, name: &str) -> Result<(), String> {
    let Some(pools) = status["pools"].as_array_mut() else { return Ok(()) };
    let names: Vec<String> = pools.iter().map(|pool| word(&pool["name"])).collect();
    pools.retain(|pool| pool["name"] == name);
    let problem = pools.first().map(|pool| (pool["ready"] == true, pool["problem"].clone()));
    let is_none = pools.is_empty();
    if let Some((is_ready, problem)) = problem {
        let text = format!("{}{}", if is_ready { "" } else { "NOT READY: " }, word(&problem));
        status["problems"] = if problem.is_null() { json!([]) } else { json!([{ "text": text }]) };
    }
    match (is_none, nearest(name, names.iter().map(String::as_str))) {
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
        "{} (pid {}, version {}): {} for {}{}; {} of {} connections\n  listens on {}\n  configuration: {}",
        word(&status["name"]),
        status["pid"],
        word(&status["version"]),
        word(&status["state"]),
        age(&status[if status["stopping_seconds"].is_null() { "uptime_seconds" } else { "stopping_seconds" }]),
        if status["ready"] == true { "" } else { ", NOT READY" },
        connections["open"],
        connections["max"],
        shortened(&each(&status["listen"]).map(word).collect::<Vec<_>>()),
        word(&status["configuration"]),
    );
    let _ = writeln!(out, "  rates, times and errors are those of the last {} s", status["window_seconds"]);
    // What is wrong is never cut off.
    let told = each(&status["problems"]).map(|problem| text::wrapped(&word(&problem["text"]))).take(PROBLEMS_MAX);
    let told: Vec<String> = told.collect();
    each(&status["pools"]).for_each(|one| pool(&mut out, one));
    // What runs over the edge of a terminal is read by nobody.
    let (mut lines, mut first) = (out.lines(), String::new());
    for line in lines.by_ref().take(HEAD_LINES) {
        first.extend([text::cut(line), "\n".to_owned()]);
    }
    let rest = lines.map(|line| format!("{}\n", text::cut(line)));
    first.extend(told);
    first.extend(rest);
    first
}

/// A pool and its rows.
fn pool(out: &mut String, pool: &Value) {
    let _ = writeln!(
        out,
        "\npool {}: {}/s, p50 {}, p95 {}, p99 {}, {} in flight, {} requests",
        text::shortened(&word(&pool["name"]), NAME_MAX),
        pool["per_second"],
        time(&pool["seconds_p50"]),
        time(&pool["seconds_p95"]),
        time(&pool["seconds_p99"]),
        pool["in_flight"],
        pool["requests"],
    );
    errors(out, pool);
    queue(out, &pool["queue"]);
    lasting(out, pool);
    each(&pool["dns"]).for_each(|name| dns(out, name));
    rows(out, pool);
    // A program without HTTP has a process and is no endpoint.
    let serves = |row: &Value| matches!(row["state"].as_str(), Some("up" | "running" | "finished" | "failing"));
    if !pool["workers"].is_null() && !each(&pool["rows"]).any(serves) {
        let name = word(&pool["name"]);
        let _ =
            writeln!(out, "  no worker is ready: `balancer events` says why, `balancer logs {name}` what they printed");
    }
}

/// What requests failed of.
fn errors(out: &mut String, pool: &Value) {
    let recent = &pool["recent"];
    if recent["errors"].as_u64().unwrap_or_default() > 0 {
        let reasons = recent["errors_by_reason"].as_object().into_iter().flatten();
        let reasons: Vec<String> = reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
        let _ =
            writeln!(out, "  errors: {} of {} requests: {}", recent["errors"], recent["requests"], reasons.join(", "));
    }
}

/// What lasts for as long as its client likes.
fn lasting(out: &mut String, pool: &Value) {
    let open = |key: &str| pool[key].as_u64().unwrap_or_default();
    let (tunnels, streams) = (open("tunnels"), open("event_streams"));
    if tunnels + streams > 0 {
        let _ = writeln!(out, "  open: {tunnels} tunnels (WebSockets), {streams} event streams");
    }
}

/// A line on the queue of a pool with slots.
fn queue(out: &mut String, queue: &Value) {
    let Some(waiting) = queue["length"].as_u64() else { return };
    let _ = write!(
        out,
        "  slots: {} of {} in use; queue: {waiting} of {} waiting",
        queue["slots_used"], queue["slots"], queue["max"]
    );
    if waiting > 0 {
        let longest =
            Duration::from_secs_f64(queue["longest_wait_seconds"].as_f64().unwrap_or_default().clamp(0.0, 1e9));
        let _ = write!(out, ", the first for {}", shown::time(longest));
    }
    out.push('\n');
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

/// Of a name, so that what is told of it stays in the picture.
const NAME_MAX: usize = 56;
/// Names that one reads at a glance.
const NAMES_MAX: usize = 3;
/// Sentences that one reads before the rest.
const PROBLEMS_MAX: usize = 10;
/// In front of what is wrong.
const HEAD_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Value {
        json!({
            "per_second": 1.5, "seconds_p50": 0.0005, "seconds_p99": 2.5,
            "recent": { "requests": 15, "errors": 2, "errors_by_reason": {} },
        })
    }

    fn status() -> Value {
        let worker = json!({
            "restarts": 5, "rss_bytes": 2_097_152, "cpu_percent": 12.4, "last_line": "no database",
            "last_end": { "how": "exit code 1", "seconds_ago": 3 },
        });
        let well = json!({
            "restarts": 1, "rss_bytes": 2_097_152, "cpu_percent": 0.0, "last_line": "x", "last_end": null,
        });
        json!({
            "name": "lb", "configuration": "./lb.toml", "state": "serving", "ready": true, "uptime_seconds": 7300, "listen": ["127.0.0.1:1", "unix:/s"],
            "connections": { "open": 3, "max": 9 }, "version": "1", "pid": 5, "reloads": { "last_ok": true }, "window_seconds": 10,
            "problems": [{ "level": "bad", "text": "app (app.2 is in back-off: no database)" }],
            "pools": [{
                "name": "app", "ready": true, "problem": "app.2 is in back-off: no database",
                "queue": { "length": 3, "max": 1024, "longest_wait_seconds": 1.25, "slots_used": 2, "slots": 2 },
                "per_second": 1.5, "seconds_p50": 0.0005, "seconds_p95": 1.0, "seconds_p99": 2.5, "in_flight": 1, "requests": 7,
                "recent": { "requests": 15, "errors": 2, "errors_by_reason": { "closed_early": 2 } },
                "tunnels": 1, "event_streams": 0,
                "rows": [
                    { "name": "app.2", "state": "backoff", "state_text": "back-off, next try in 4 s", "level": "bad", "in_flight": 0,
                      "slots": null, "figures": figures(), "worker": worker },
                    { "name": "app.1", "state": "up", "state_text": "up", "level": "ok", "in_flight": 1, "slots": 1,
                      "figures": figures(), "worker": well },
                ],
                "dns": [{ "name": "app:80", "answered_seconds": 1, "problem": null, "addresses": ["10.0.0.1:80", "10.0.0.2:80"],
                    "waiting": ["10.0.0.2:80"] }, { "name": "b:80", "answered_seconds": null, "problem": "no", "addresses": [],
                    "waiting": [] }],
                "workers": { "count": 2 },
            }],
        })
    }

    #[test]
    fn a_status_is_a_table_for_people() {
        let expected = "\
lb (pid 5, version 1): serving for 2 h; 3 of 9 connections
  listens on 127.0.0.1:1, unix:/s
  configuration: ./lb.toml
  rates, times and errors are those of the last 10 s
app (app.2 is in back-off: no database)

pool app: 1.5/s, p50 ≤ 0.5 ms, p95 ≤ 1 s, p99 ≤ 2.5 s, 1 in flight, 7 requests
  errors: 2 of 15 requests: 2 closed_early
  slots: 2 of 2 in use; queue: 3 of 1024 waiting, the first for 1.2 s
  open: 1 tunnels (WebSockets), 0 event streams
  dns app:80: 2 addresses, answered 1 s ago; not taking connections: 10.0.0.2:80
  dns b:80: 0 addresses, never answered; no
  endpoint  state                      req/s   p50 ≤  p99 ≤  errors  busy  memory    CPU  restarts
  app.2     back-off, next try in 4 s    1.5  0.5 ms  2.5 s       2     0  2.0 MiB  12 %         5
    exit code 1, 3 s ago; it printed: no database
  app.1     up                           1.5  0.5 ms  2.5 s       2   1/1  2.0 MiB   0 %         1
";
        assert_eq!(table(&status()), expected);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_and_what_is_wrong_is_not_cut() {
        let mut long = status();
        let name = "a-pool-with-a-name-as-they-are-generated-in-clusters-somewhere".repeat(2);
        let line = "psycopg2.OperationalError: connection refused ".repeat(5);
        long["listen"] = json!(vec!["127.0.0.1:8080"; 30]);
        for of in ["/pools/0/name", "/pools/0/dns/0/name", "/name", "/configuration"] {
            *long.pointer_mut(of).unwrap() = json!(name);
        }
        for of in ["/pools/0/rows/0/name", "/pools/0/rows/1/name"] {
            *long.pointer_mut(of).unwrap() = json!(format!("{name}.17"));
        }
        *long.pointer_mut("/pools/0/rows/0/worker/last_line").unwrap() = json!(line);
        *long.pointer_mut("/pools/0/rows/1/state_text").unwrap() = json!("draining, 17 WebSockets, cut in 22 s");
        *long.pointer_mut("/problems/0/text").unwrap() = json!(format!("NOT READY: app ({line})"));
        let told = table(&long);
        assert!(told.lines().all(|line| line.chars().count() <= 100), "{told}");
        assert!(told.contains(" and 27 more\n"));
        assert_eq!(told.matches("psycopg2.OperationalError:").count(), 5 + 1, "{told}");
        // What does not fit beside the name stands below it.
        assert!(told.contains("17 WebSockets, cut in 22 s") && told.contains("next try in 4 s"), "{told}");
        assert_eq!(told.lines().filter(|line| line.contains(".17 ")).count(), 2, "{told}");
    }

    #[test]
    fn who_stops_says_for_how_long_it_does() {
        let mut status = status();
        (status["state"], status["stopping_seconds"]) = (json!("stopping"), json!(4));
        assert!(table(&status).starts_with("lb (pid 5, version 1): stopping for 4 s; "), "{}", table(&status));
    }

    #[test]
    fn one_pool_is_shown_alone_and_an_unknown_one_has_its_neighbour_named() {
        let status = status();
        assert_eq!(only(&mut status.clone(), "ap"), Err("no pool is called ap; did you mean app?".to_owned()));
        let mut one = status;
        assert!(only(&mut one, "app").is_ok());
        assert_eq!(one["problems"][0]["text"], "app.2 is in back-off: no database");
    }
}
