//! The rows of a pool as a table: one line for each endpoint or worker, worst first, and below those that are ill why. Decides what stands where;
//! called by `status`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::text::{self, WIDTH};
use crate::shown;

/// A pool's rows. What does not fit beside the state stands below.
pub(super) fn rows(out: &mut String, pool: &Value) {
    let has_workers = !pool["workers"].is_null();
    let all: Vec<&Value> = each(&pool["rows"]).collect();
    if all.is_empty() {
        return;
    }
    let wide = lines(&all, has_workers, true);
    let fits = wide.iter().all(|line| line.chars().count() <= WIDTH);
    let lines = if fits { wide } else { lines(&all, has_workers, false) };
    let mut told: Vec<Value> = Vec::new();
    let (head, rest) = lines.split_at(1);
    head.iter().for_each(|line| out.extend([line, "\n"]));
    for (row, line) in all.iter().zip(rest) {
        out.extend([line, "\n"]);
        // Many that are ill of one thing say it once.
        let worker = &row["worker"];
        let of = json!([worker["last_end"]["how"], worker["last_line"]]);
        if let Some(why) = why(row, fits).filter(|_| worker.is_null() || !told.contains(&of)) {
            let _ = writeln!(out, "    {why}");
            told.push(of);
        }
    }
}

fn lines(all: &[&Value], has_workers: bool, with_detail: bool) -> Vec<String> {
    let mut heads = vec!["endpoint", "state", "req/s", "p50 ≤", "p99 ≤", "errors", "busy"];
    if has_workers {
        heads.extend(["memory", "CPU", "restarts"]);
    }
    let mut table = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for row in all {
        let (figures, worker) = (&row["figures"], &row["worker"]);
        let state = word(&row["state_text"]);
        let state = if with_detail { state } else { split(&state).0.to_owned() };
        let busy = match row["slots"].as_u64() {
            Some(slots) => format!("{}/{slots}", row["in_flight"]),
            None => row["in_flight"].to_string(),
        };
        let mut cells = vec![
            text::shortened(&word(&row["name"]), NAME_MAX),
            state,
            word(&figures["per_second"]),
            cell(&figures["seconds_p50"]),
            cell(&figures["seconds_p99"]),
            word(&figures["recent"]["errors"]),
            busy,
        ];
        if has_workers {
            let cpu = worker["cpu_percent"].as_f64().map_or("-".to_owned(), |percent| format!("{percent:.0} %"));
            cells.extend([memory(&worker["rss_bytes"]), cpu, word(&worker["restarts"])]);
        }
        table.push(cells);
    }
    text::columns(&table, &NUMBERS)
}

/// Why a row is as it is, where it is ill or has ended a moment ago.
fn why(row: &Value, fits: bool) -> Option<String> {
    let (end, is_ill) = (&row["worker"]["last_end"], row["level"] != "ok");
    let ago = end["seconds_ago"].as_u64();
    let is_fresh = ago.is_some_and(|seconds| seconds < FRESH_SECONDS);
    let detail = split(row["state_text"].as_str().unwrap_or_default()).1;
    let mut parts: Vec<String> = detail.filter(|_| !fits).map(str::to_owned).into_iter().collect();
    if let Some(ago) = ago.filter(|_| is_ill || is_fresh) {
        parts.push(format!("{}, {} ago", word(&end["how"]), shown::age(ago)));
    }
    // Why one that serves is slow, its last line does not say.
    if let Some(line) = row["worker"]["last_line"].as_str().filter(|_| is_ill && row["state"] != "up") {
        parts.push(format!("it printed: {line}"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The state, and what stands behind it.
fn split(state: &str) -> (&str, Option<&str>) {
    match state.split_once(", ") {
        Some((state, detail)) => (state, Some(detail)),
        None => (state, None),
    }
}

pub(super) fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A text without quotes; what is not there is a dash.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn age(seconds: &Value) -> String {
    seconds.as_u64().map_or("-".to_owned(), shown::age)
}

/// Times are known by the bucket they fall into.
pub(super) fn time(seconds: &Value) -> String {
    match cell(seconds).as_str() {
        "-" => "-".to_owned(),
        time => format!("≤ {time}"),
    }
}

fn cell(seconds: &Value) -> String {
    match seconds.as_f64() {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{} ms", (seconds * 10_000.0).round() / 10.0),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn memory(bytes: &Value) -> String {
    match bytes.as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(bytes) => shown::size(bytes),
    }
}

/// Columns of numbers, which end below each other.
const NUMBERS: [usize; 7] = [2, 3, 4, 5, 6, 8, 9];
/// Of a name, so that what is told of it stays in the picture.
const NAME_MAX: usize = 24;
/// An end that is younger is told though all is well again.
const FRESH_SECONDS: u64 = 60;
