//! An app of PM2 → a pool with workers. Decides which of our keys each of PM2's becomes, and whether an app serves HTTP; called by [`super`];
//! never compares apps.

use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use super::literal::{Literal, LiteralNode};
use crate::cli::import::command::{self, ListenArgument};
use crate::cli::import::front::Reached;
use crate::cli::import::setup::{FileLine, PoolDraft, Setup, TableKeys, plain};
use crate::config::{show_duration, show_size};

/// Reads an app. `alone` says that no other could be the one with HTTP; paths begin in `directory`, and `place` is that of a line.
pub(super) fn read(
    app: &LiteralNode,
    alone: bool,
    directory: &Path,
    place: &dyn Fn(usize) -> FileLine,
    setup: &mut Setup,
) -> Option<Reached> {
    let own = place(app.line);
    let Some(script) = app.get("script").and_then(LiteralNode::text).filter(|script| !script.trim().is_empty()) else {
        setup.seen(&own, "an app without `script`: left out");
        return None;
    };
    let base = script.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
    let name = app.get("name").and_then(LiteralNode::text).unwrap_or(base);
    let mut reading = App { name: setup.free_name(&name), workers: TableKeys::default(), place, setup };
    let mut words = command(app, &script);
    let bound = command::listening(&mut words);
    reading.workers.set("command", words);
    // PM2 goes where its file is.
    let cwd =
        app.get("cwd").and_then(LiteralNode::text).map_or_else(|| directory.to_owned(), |cwd| directory.join(cwd));
    if !cwd.as_os_str().is_empty() {
        reading.workers.set("directory", plain(&cwd.display().to_string()));
    }
    let (count, is_cluster) = reading.count(app);
    let env_port = app.get("env").and_then(|env| env.get("PORT")).and_then(LiteralNode::number);
    let port = match bound {
        Some(ListenArgument::Port { port, .. }) => Some(i64::from(port)),
        _ => env_port.or_else(|| app.get("port").and_then(LiteralNode::number)),
    };
    let port = port.filter(|port| (1..=65_535).contains(port));
    let steps = app.get("increment_var").and_then(LiteralNode::text).is_some_and(|name| name == "PORT");
    if let Some(port) = port.filter(|_| steps && count) {
        reading.workers.set("first_port", port);
        let text = "increment_var: clients find its workers behind `listen`; the ports are those of its workers, which change when one is replaced";
        reading.setup.seen(&own, format!("app {}: {text}", reading.name));
    }
    if let Literal::Object(entries) = &app.value {
        entries.iter().for_each(|(key, node)| reading.key(key, node));
    }
    // Apps of PM2 are written for it.
    if reading.workers.get("stop_signal").is_none() {
        reading.workers.set("stop_signal", "INT");
    }
    let is_http = port.is_some() || is_cluster || alone;
    if !is_http {
        reading.workers.set("ready", Table::from_iter([("alive".to_owned(), "1s".into())]));
    } else if port.is_none() {
        let text = format!(
            "app {}: its port stands nowhere in this file: let it listen at process.env.PORT, which each worker has for itself",
            reading.name
        );
        reading.setup.seen(&own, text);
    }
    let (pool, workers) = (reading.name, reading.workers);
    setup.pools.push(PoolDraft { name: pool.clone(), keys: TableKeys::default(), workers: Some(workers) });
    let listen = port.filter(|_| !(steps && count)).map(|port| Value::from(format!("0.0.0.0:{port}")));
    is_http.then_some(Reached { pool, place: own, listen, found: None })
}

/// Interpreter, script and arguments.
fn command(app: &LiteralNode, script: &str) -> Vec<String> {
    let ending = script.rsplit('/').next().unwrap_or_default().rsplit_once('.').map(|(_, ending)| ending);
    let usual = match ending {
        Some("js" | "cjs" | "mjs") => Some("node"),
        Some("ts" | "tsx") => Some("bun"),
        Some("py") => Some("python3"),
        Some("sh") => Some("bash"),
        Some("rb") => Some("ruby"),
        Some("php") => Some("php"),
        Some("pl") => Some("perl"),
        _ => None,
    };
    let given = app.get("interpreter").or(app.get("exec_interpreter")).and_then(LiteralNode::text);
    let interpreter = match given.as_deref() {
        Some("none" | "") => None,
        Some(given) => Some(given.to_owned()),
        None => usual.map(str::to_owned),
    };
    let of = |keys: &[&str]| keys.iter().find_map(|key| app.get(key)).map(arguments).unwrap_or_default();
    let own = of(&["interpreter_args", "node_args", "interpreterArgs"]);
    // `npm start` is two words where nothing of that name is a file.
    let script = if interpreter.is_none() {
        command::words(script).unwrap_or_else(|| vec![script.to_owned()])
    } else {
        vec![script.to_owned()]
    };
    let own = if interpreter.is_some() { own } else { Vec::new() };
    interpreter.into_iter().chain(own).chain(script).chain(of(&["args"])).collect()
}

/// A list, or the words of a text.
fn arguments(node: &LiteralNode) -> Vec<String> {
    match &node.value {
        Literal::List(nodes) => nodes.iter().filter_map(LiteralNode::text).collect(),
        _ => node.text().and_then(|text| command::words(&text)).unwrap_or_default(),
    }
}

struct App<'a> {
    name: String,
    workers: TableKeys,
    place: &'a dyn Fn(usize) -> FileLine,
    setup: &'a mut Setup,
}

impl App<'_> {
    /// Whether there are several workers, and whether they share a port.
    fn count(&mut self, app: &LiteralNode) -> (bool, bool) {
        let mode = app.get("exec_mode").or(app.get("execMode")).and_then(LiteralNode::text).unwrap_or_default();
        let is_cluster = mode.starts_with("cluster");
        let Some(node) = app.get("instances") else { return (false, is_cluster) };
        let count = node.number();
        match (count, node.text().as_deref()) {
            (Some(0), _) | (None, Some("max")) => self.workers.set("count", "cpus"),
            (Some(count), _) if count < 0 => {
                self.workers.set("count", "cpus");
                self.unseen(node, &format!("instances: {count}: one for each CPU; write a number for fewer"));
            }
            (Some(count), _) if count > 1 => self.workers.set("count", count.min(COUNT_MAX)),
            (Some(_), _) => {}
            (None, _) => self.unseen(node, "instances: that is no number: one worker"),
        }
        (self.workers.get("count").is_some(), is_cluster || self.workers.get("count").is_some())
    }

    fn key(&mut self, key: &str, node: &LiteralNode) {
        let text = node.text().unwrap_or_default();
        match key {
            "env" => self.env(node),
            "env_file" => self.workers.set("env_file", plain(&text)),
            "user" | "uid" => self.workers.set("user", plain(&text)),
            "group" | "gid" => self.workers.set("group", plain(&text)),
            "max_memory_restart" => match size(&text) {
                Some(size) => self.workers.set("memory_max", show_size(size)),
                None => self.unseen(node, &format!("{key}: {text}: that is no size")),
            },
            "kill_timeout" => self.time("stop_timeout", node),
            "listen_timeout" => self.time("ready_timeout", node),
            "restart_delay" | "exp_backoff_restart_delay" => {
                if let Some(time) = node.number().filter(|time| (1..=30_000).contains(time)) {
                    let time = show_duration(Duration::from_millis(time.unsigned_abs()));
                    let table = [("min".to_owned(), time.into()), ("max".to_owned(), "30s".into())];
                    self.workers.set("backoff", Table::from_iter(table));
                }
            }
            "autorestart" if node.flag() == Some(false) => self.workers.set("restart", "never"),
            "stop_exit_codes" => {
                self.workers.set("restart", "on_failure");
                let is_zero = |node: &LiteralNode| arguments(node) == ["0"] || node.number() == Some(0);
                if !is_zero(node) {
                    self.unseen(node, "stop_exit_codes: exit code 0 alone is no failure here");
                }
            }
            "wait_ready" if node.flag() == Some(true) => {
                self.unseen(node, "wait_ready: a worker is ready once it answers, and needs no process.send('ready')");
            }
            "shutdown_with_message" if node.flag() == Some(true) => {
                self.unseen(node, "shutdown_with_message: a worker is told to stop by a signal: `stop_signal`");
            }
            "max_restarts" | "min_uptime" => {
                self.unseen(node, &format!("{key}: a worker is started again without end, ever later: `backoff`"))
            }
            "watch" if node.flag() == Some(false) => {}
            "watch" => self.unseen(node, "watch: files are not watched: `balancer restart` begins anew"),
            "cron_restart" | "cron" => self
                .unseen(node, &format!("{key}: nothing is started at a time of day; `age_max` replaces old workers")),
            "out_file" | "error_file" | "log_file" | "output" | "error" | "log" => {
                self.unseen(node, &format!("{key}: lines go to stdout, each behind its worker's name; output = \"file\" with output_dir keeps files"));
            }
            "instance_var" => self.unseen(node, "instance_var: the number of a worker is in INSTANCE_ID, from 1"),
            key if key.starts_with("env_") => {
                self.unseen(node, &format!("{key}: `env` is taken; write what else is needed into it"))
            }
            key if KNOWN.contains(&key) => {}
            _ => self.unseen(node, &format!("{key}: nothing is known of it here")),
        }
    }

    fn env(&mut self, node: &LiteralNode) {
        let Literal::Object(entries) = &node.value else { return self.unseen(node, "env: that is no object") };
        // Each worker has a port of its own in it.
        let own = entries.iter().filter(|(name, _)| name != "PORT");
        let env: Table = own.filter_map(|(name, node)| Some((name.clone(), plain(&node.text()?).into()))).collect();
        if !env.is_empty() {
            self.workers.set("env", env);
        }
    }

    /// A time in milliseconds.
    fn time(&mut self, key: &'static str, node: &LiteralNode) {
        if let Some(time) = node.number().and_then(|time| u64::try_from(time).ok()).filter(|time| *time > 0) {
            self.workers.set(key, show_duration(Duration::from_millis(time.min(DAY))));
        }
    }

    fn unseen(&mut self, node: &LiteralNode, text: &str) {
        let text = format!("app {}: {text}", self.name);
        self.setup.unseen(&(self.place)(node.line), text);
    }
}

/// `300M`, `1G`, or a number of bytes.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let text = text.strip_suffix('B').unwrap_or(&text);
    let (number, factor) = match text.char_indices().last()? {
        (at, 'K') => (&text[..at], 1_u64 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|size| *size > 0 && *size < 1 << 50)
}

/// Taken elsewhere, done without being asked for, or of PM2 itself.
const KNOWN: &[&str] = &[
    "name",
    "cwd",
    "script",
    "args",
    "interpreter",
    "exec_interpreter",
    "interpreter_args",
    "interpreterArgs",
    "node_args",
    "instances",
    "exec_mode",
    "execMode",
    "port",
    "increment_var",
    "autorestart",
    "wait_ready",
    "shutdown_with_message",
    "ignore_watch",
    "watch_delay",
    "watch_options",
    "source_map_support",
    "disable_source_map_support",
    "vizion",
    "pmx",
    "automation",
    "treekill",
    "namespace",
    "append_env_to_name",
    "filter_env",
    "trace",
    "disable_trace",
    "deep_monitoring",
    "merge_logs",
    "combine_logs",
    "log_date_format",
    "log_type",
    "time",
    "force",
    "pid_file",
    "post_update",
    "description",
    "version",
    "max_listeners",
];

/// As our file has them.
const COUNT_MAX: i64 = 4_096;
/// In milliseconds; nobody waits longer for one worker.
const DAY: u64 = 86_400_000;
