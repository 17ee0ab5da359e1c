//! What the worker tells about itself and about what it received.
//!
//! Decides the lines of `/info`, `/seen` and `/echo`. Called by `service`, `models` and the routes. Never counts: to look changes
//! nothing.

use std::fmt::Write;

use http::{Request, Response, Uri, Version};
use nix::unistd::{getgid, getuid};

use crate::Model;
use crate::answers::text;
use crate::body::Body;
use crate::query::Query;
use crate::queue::Load;
use crate::worker::Worker;

/// The answer of a route that only looks; `None` for every other.
pub(crate) fn observe<B>(worker: &Worker, request: &Request<B>) -> Option<Response<Body>> {
    observed(worker, request.uri()).map(text)
}

/// The body of that answer.
pub(crate) fn observed(worker: &Worker, target: &Uri) -> Option<String> {
    match target.path() {
        "/info" => Some(info(worker, Query::of(target))),
        "/stats" if !has_queue(worker) => Some(stats(worker, None)),
        "/seen" => {
            let id = Query::of(target).get("id").unwrap_or_default();
            Some(format!("{}\n", worker.times_seen(&id)))
        }
        _ => None,
    }
}

/// Whether the numbers are known where the queue is only.
fn has_queue(worker: &Worker) -> bool {
    worker.options.model == Model::Pool
}

/// The request line, each field line, an empty line.
pub(crate) fn head_lines<B>(request: &Request<B>) -> String {
    let mut lines = format!("{} {} {}\n", request.method(), request.uri(), version(request.version()));
    for (name, value) in request.headers() {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(lines, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    lines.push('\n');
    lines
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// What there is to measure of a server under load (`key: value`, one a line); `load` of one with a queue of its own.
pub(crate) fn stats(worker: &Worker, load: Option<Load>) -> String {
    let counts = worker.counts();
    let mut lines =
        format!("connections: {}\nin_flight: {}\nserved: {}\n", counts.connections, counts.in_flight, counts.served);
    if let Some(Load { active, threads, waiting, places, refused }) = load {
        let _ = write!(lines, "active: {active}/{threads}\nqueue: {waiting}/{places}\nrefused: {refused}\n");
    }
    lines
}

fn info(worker: &Worker, query: Query<'_>) -> String {
    let counts = worker.counts();
    let index = worker.options.instance.as_deref().unwrap_or("-");
    let directory = std::env::current_dir().map_or("-".into(), |path| path.display().to_string());
    let arguments: Vec<_> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut names: Vec<_> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    names.sort();
    let mut lines = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(lines, "{key}: {value}");
    };
    line("name", &worker.name);
    line("pid", &std::process::id());
    line("index", &index);
    line("cwd", &directory);
    line("args", &arguments.join(" "));
    line("env", &names.join(" "));
    line("uid", &getuid());
    line("gid", &getgid());
    line("connections", &counts.connections);
    line("connections_max", &counts.connections_max);
    line("in_flight", &counts.in_flight);
    line("served", &counts.served);
    line("overlaps", &counts.overlaps);
    for (_, name) in query.pairs().filter(|(key, _)| key == b"env") {
        let name = String::from_utf8_lossy(&name).into_owned();
        // A name with one of these is none, and asking for it would panic.
        let value = if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var_os(&name) };
        match value {
            Some(value) => line("env", &format_args!("{name}={}", value.to_string_lossy())),
            None => line("env", &format_args!("{name} is not set")),
        }
    }
    lines
}
