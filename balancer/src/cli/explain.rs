//! `balancer explain`: one request's story, or the requests that somebody may ask about.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::say::{WRONG_ARGUMENTS, fail, show};
use super::target::Target;
use super::text::aligned;
use crate::admin::client::escaped;

/// Which request.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Its id, as in the access log, below an error, or in X-Request-Id [default: list the last that failed]
    #[arg(value_name = "REQUEST_ID")]
    id: Option<String>,

    /// List the slowest requests of the last 15 minutes
    #[arg(long, conflicts_with_all = ["id", "recent"])]
    slow: bool,

    /// List the last requests
    #[arg(long, conflicts_with = "id")]
    recent: bool,

    /// List so many
    #[arg(short = 'n', long = "lines", value_name = "N", conflicts_with = "id")]
    most: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: Options, config: Option<PathBuf>) -> ExitCode {
    let which = match (options.slow, options.recent) {
        (true, _) => "slow",
        (_, true) => "recent",
        _ => "failed",
    };
    let path = match (&options.id, options.most) {
        (Some(id), _) => format!("/api/requests/{}", escaped(id.trim())),
        (None, Some(most)) => format!("/api/requests?which={which}&n={most}"),
        (None, None) => format!("/api/requests?which={which}"),
    };
    let (status, text) = match options.target.or(config).read(&path) {
        Ok(read) => read,
        Err(code) => return code,
    };
    match (status, serde_json::from_str::<Value>(&text)) {
        (200, Ok(_)) if options.json => show(&text),
        (200, Ok(value)) if options.id.is_some() => show(&told(&value)),
        (200, Ok(value)) => show(&listed(&value)),
        (200, Err(_)) => fail("balancer: the answer is not that of a balancer"),
        (400, _) => {
            fail(&format!("balancer: {}", text.trim_end()));
            ExitCode::from(WRONG_ARGUMENTS)
        }
        _ => fail(&format!("balancer: {}", text.trim_end())),
    }
}

/// One line a request.
fn listed(value: &Value) -> String {
    let requests = value["requests"].as_array().map_or(&[][..], Vec::as_slice);
    let which = word(&value["which"]);
    if requests.is_empty() {
        return format!("no {which} request is remembered\n");
    }
    let heads = ["begun", "id", "took", "method", "status", "reason", "pool", "endpoint", "attempts"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for one in requests {
        let mut row = vec![word(&one["begun"]), word(&one["id"]), time(&one["seconds"])];
        row.extend(["method", "status", "reason", "pool", "endpoint", "attempts"].map(|key| word(&one[key])));
        rows.push(row);
    }
    let mut out = String::new();
    aligned(&mut out, &rows);
    out
}

/// The whole story.
fn told(story: &Value) -> String {
    let mut out = String::new();
    let reason = story["reason"].as_str().map(|reason| format!(", {reason}")).unwrap_or_default();
    let whose = match (&story["rejected"], story["status"].as_u64()) {
        (Value::Bool(true), _) => ", answered by balancer",
        (_, Some(499)) => ", which nobody was told: the client had left",
        _ => "",
    };
    // Writing to memory does not fail, here and below.
    let _ = writeln!(
        out,
        "{}\n  {} at {}, status {}{reason}{whose}; {} bytes in {}",
        word(&story["id"]),
        word(&story["method"]),
        word(&story["begun"]),
        word(&story["status"]),
        word(&story["bytes"]),
        time(&story["seconds"]),
    );
    match story["pool"].as_str() {
        None => out.push_str("  no route led to a pool\n"),
        Some(pool) => {
            let policy = story["policy"].as_str().map(|policy| format!(" ({policy})")).unwrap_or_default();
            let queued = match story["queued_seconds"].as_f64() {
                Some(seconds) if seconds > 0.0 => format!(", waited {} for a place", time(&story["queued_seconds"])),
                _ => String::new(),
            };
            let _ = writeln!(out, "  pool {pool}{policy}{queued}");
        }
    }
    attempts(&mut out, story);
    candidates(&mut out, story);
    lines(&mut out, story);
    out
}

fn attempts(out: &mut String, story: &Value) {
    let attempts = each(&story["attempts"]);
    if attempts.is_empty() && !story["pool"].is_null() {
        out.push_str("  no endpoint was asked\n");
    }
    for (index, one) in attempts.iter().enumerate() {
        let took = match one["seconds"].is_null() {
            true => String::new(),
            false => format!(", {} later", time(&one["seconds"])),
        };
        let _ = writeln!(
            out,
            "  attempt {}: {} after {}: {}{took}\n    {}",
            index + 1,
            word(&one["endpoint"]),
            time(&one["after_seconds"]),
            word(&one["outcome"]),
            word(&one["why"]),
        );
    }
}

fn candidates(out: &mut String, story: &Value) {
    let all = each(&story["candidates"]);
    if all.is_empty() {
        return;
    }
    let one = |one: &Value| format!("{} {}, {} in flight", word(&one["name"]), word(&one["state"]), one["in_flight"]);
    let mut shown: Vec<String> = all.iter().map(one).collect();
    if let Some(more @ 1..) = story["candidates_left_out"].as_u64() {
        shown.push(format!("and {more} more"));
    }
    let _ = writeln!(out, "  endpoints when it came, within 100 ms:\n    {}", shown.join("\n    "));
}

fn lines(out: &mut String, story: &Value) {
    let lines = each(&story["lines"]);
    if lines.is_empty() {
        return;
    }
    out.push_str("  what its workers printed meanwhile:\n");
    if let Some(more @ 1..) = story["lines_left_out"].as_u64() {
        let _ = writeln!(out, "    … {more} lines before these");
    }
    for line in lines {
        let _ = writeln!(out, "    {} {}", word(&line["time"]), word(&line["text"]));
    }
}

fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What a cell says; a dash where there is nothing to say.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Finer than elsewhere: in a request, a fraction of a millisecond says something.
fn time(seconds: &Value) -> String {
    match seconds.as_f64() {
        None => "–".to_owned(),
        Some(seconds) if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => crate::shown::time(std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e12))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_is_told_from_its_beginning_to_its_end() {
        let story = json!({
            "id": "0123", "method": "GET", "begun": "2026-11-28T00:00:00.000Z", "status": 502, "reason": "closed_early",
            "rejected": true, "bytes": 60, "seconds": 0.0123, "pool": "app", "policy": "round_robin", "queued_seconds": 1.5,
            "attempts": [
                { "endpoint": "app.1", "after_seconds": 0.0001, "seconds": 0.002, "outcome": "connect_failed", "why": "it was its turn" },
                { "endpoint": "app.2", "after_seconds": 0.003, "seconds": null, "outcome": "closed_early", "why": "it was its turn" },
            ],
            "candidates": [{ "name": "app.1", "state": "ejected", "in_flight": 0 }],
            "candidates_left_out": 3,
            "lines": [{ "time": "2026-11-28T00:00:00.001Z", "text": "app.2 | Traceback" }],
            "lines_left_out": 2,
        });
        let expected = "0123\n  \
            GET at 2026-11-28T00:00:00.000Z, status 502, closed_early, answered by balancer; 60 bytes in 12.3 ms\n  \
            pool app (round_robin), waited 1.5 s for a place\n  \
            attempt 1: app.1 after 0.1 ms: connect_failed, 2.0 ms later\n    it was its turn\n  \
            attempt 2: app.2 after 3.0 ms: closed_early\n    it was its turn\n  \
            endpoints when it came, within 100 ms:\n    app.1 ejected, 0 in flight\n    and 3 more\n  \
            what its workers printed meanwhile:\n    … 2 lines before these\n    \
            2026-11-28T00:00:00.001Z app.2 | Traceback\n";
        assert_eq!(told(&story), expected);
    }

    #[test]
    fn a_request_without_a_route_and_an_empty_list_say_so() {
        let story =
            json!({ "id": "0", "method": "GET", "status": 404, "reason": "no_route", "seconds": 0, "bytes": 1 });
        assert!(
            told(&story).contains("no route led to a pool") && !told(&story).contains("no endpoint"),
            "{}",
            told(&story)
        );
        assert_eq!(listed(&json!({ "which": "slow", "requests": [] })), "no slow request is remembered\n");
    }
}
