//! `[pool.NAME.workers]`. Decides what can be started and how; called by [`super::pool`]; never starts anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::identity::Identity;
use super::output::Output;
use super::ready::Ready;
use super::recycle::{Recycle, WarmUp};
use super::restart::{Backoff, RESTARTS, Restart, backoff};
use super::sharing::Sharing;
use super::stop_signal::{StopSignal, stop_signal};
use super::{command, identity, output, ready, recycle, sharing};
use crate::config::env_file;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::span::Span;
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN};

/// Processes the supervisor runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// Program and arguments, with `{port}` or `{socket}`, `{index}`, `{pool}` not yet filled in; never empty.
    pub command: Vec<String>,
    /// How many; at least 1.
    pub count: usize,
    /// Port of the first; the others follow. `None`: free ports.
    pub first_port: Option<u16>,
    /// They listen on Unix sockets of ours instead of ports, a new path at each start; then there is no `first_port`.
    pub socket: bool,
    /// Their connections come to an address of theirs and do not pass through us.
    pub sharing: Option<Sharing>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// Variables set for each.
    pub env: BTreeMap<String, String>,
    /// File of `NAME=value` lines, read at each start; `env` wins.
    pub env_file: Option<PathBuf>,
    /// Pass on only `env`, `env_file` and a small safe set.
    pub env_clear: bool,
    /// Account to run as.
    pub identity: Identity,
    /// When it may take requests.
    pub ready: Ready,
    /// Who may listen at its port.
    pub listener: MayListen,
    /// Not ready after this: stopped and started again.
    pub ready_timeout: Duration,
    /// Signal of a polite stop, as a name without `SIG`: `"TERM"`.
    pub stop_signal: StopSignal,
    /// From the polite stop to KILL.
    pub stop_timeout: Duration,
    /// Delay between restarts.
    pub backoff: Backoff,
    /// What it has to answer after it is ready.
    pub warm_up: Option<WarmUp>,
    /// When it is replaced though it runs.
    pub recycle: Recycle,
    /// Deaths on the same method and path within a minute, after which that is refused for a minute; 0: never.
    pub query_of_death: u32,
    /// How many are replaced at once in a roll; at least 1.
    pub roll_parallel: usize,
    /// Which of a worker and its replacement goes first.
    pub roll: Roll,
    /// Pools whose workers are ready before these are started.
    pub after: Vec<String>,
    /// They are started all the same after this.
    pub after_timeout: Duration,
    /// Whether one that ended by itself is started again.
    pub restart: Restart,
    /// Where its output goes.
    pub output: Output,
}

impl Workers {
    /// Whether they take requests from us once they are ready.
    pub fn serves(&self) -> bool {
        self.sharing.is_none() && self.ready.serves()
    }
}

/// What was read of workers, and where.
pub(super) struct Read {
    pub(super) workers: Workers,
    /// The place of `first_port`.
    pub(super) first_port: Option<Span>,
    /// The place of `address`.
    pub(super) address: Option<Span>,
}

/// Which of a worker and its replacement goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// The new one is ready before the old one is stopped: for a while there are two.
    StartFirst,
    /// The old one has ended before the new one is started: there are never two of them.
    StopFirst,
}

/// Whose a listener at a worker's port may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayListen {
    /// One of the worker's own processes.
    Own,
    /// Whoever it is: something that listens in its name (`docker run -p`).
    Any,
}

/// The workers of a pool; nothing without a command.
pub(super) fn read(item: &Item<'_>) -> Option<Read> {
    let mut section = item.section("pool.NAME.workers", "[pool.app.workers], with single brackets")?;
    let command =
        section.require("command", "write the program and its arguments, as in [\"julia\", \"server.jl\", \"{port}\"]");
    let socket_item = section.take("socket");
    // `None`: it is there and cannot be read, so nothing is said of what does not go with it.
    let socket = socket_item.map_or(Some(false), |item| item.flag());
    let default = Workers::new(command.and_then(|item| command::read(&item, socket)).unwrap_or_default());

    let count = section.take("count").and_then(|item| count(&item)).unwrap_or(default.count);
    let first_port = section.take("first_port").and_then(|item| first_port(item, count, socket == Some(true)));
    let (first_port, span) = first_port.unzip();
    let directory = section.take("directory").and_then(|item| directory_there(&item));
    let env = section.take("env").and_then(|item| env(item, socket == Some(true)));
    let env_file = section.take("env_file").and_then(|item| env_file_there(&item));
    let env_clear = section.take("env_clear").and_then(|item| item.flag());
    let identity = identity::read(&mut section);
    let ready = section.take("ready").and_then(|item| ready::read(&item));
    let listener = section.take("listener").and_then(|item| listener(&item, socket == Some(true)));
    let ready_timeout = section.take("ready_timeout").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX));
    let stop_signal = section.take("stop_signal").and_then(|item| stop_signal(&item));
    let stop_timeout = section.take("stop_timeout").and_then(|item| item.duration(Duration::ZERO..=DURATION_MAX));
    let backoff = section.take("backoff").and_then(|item| backoff(&item, &default.backoff));
    let roll_parallel = section.take("roll_parallel").and_then(|item| item.integer(1..=COUNT_MAX));
    let roll = section
        .take("roll")
        .and_then(|item| item.choice(&[("start_first", Roll::StartFirst), ("stop_first", Roll::StopFirst)]));
    let after = section.take("after").and_then(|item| after(&item));
    let after_timeout = section.take("after_timeout").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX));
    let restart = section.take("restart").and_then(|item| item.choice(RESTARTS));
    let warm_up = section.take("warm_up").and_then(|item| recycle::warm_up(&item));
    let recycle = recycle::read(&mut section);
    let query_of_death = section.take("query_of_death").and_then(|item| item.integer(0..=DEATHS_MAX));
    let output = output::read(&mut section, directory_there, default.output);
    let sharing = sharing::read(&mut section, ready.as_ref());
    section.finish();

    let workers = Workers {
        count,
        first_port,
        socket: socket.unwrap_or(default.socket),
        sharing: sharing.as_ref().map(|sharing| sharing.value),
        directory,
        env: env.unwrap_or_default(),
        env_file,
        env_clear: env_clear.unwrap_or(default.env_clear),
        identity,
        ready: ready.unwrap_or(default.ready),
        listener: listener.unwrap_or(default.listener),
        ready_timeout: ready_timeout.unwrap_or(default.ready_timeout),
        stop_signal: stop_signal.unwrap_or(default.stop_signal),
        stop_timeout: stop_timeout.unwrap_or(default.stop_timeout),
        backoff: backoff.unwrap_or(default.backoff),
        roll_parallel: roll_parallel.unwrap_or(default.roll_parallel),
        roll: roll.unwrap_or(default.roll),
        after: after.unwrap_or_default(),
        after_timeout: after_timeout.unwrap_or(default.after_timeout),
        restart: restart.unwrap_or(default.restart),
        warm_up,
        recycle,
        query_of_death: query_of_death.unwrap_or(default.query_of_death),
        output,
        command: default.command,
    };
    Some(Read { workers, first_port: span, address: sharing.map(|sharing| sharing.span) })
}

fn listener(item: &Item<'_>, has_socket: bool) -> Option<MayListen> {
    if has_socket {
        item.key_wrong(
            "no other process can listen on a worker's Unix socket",
            "leave out `listener`, or `socket = true`",
        );
    }
    item.choice(&[("own", MayListen::Own), ("any", MayListen::Any)])
}

fn count(item: &Item<'_>) -> Option<usize> {
    match item.as_text() {
        Some("cpus") => Some(thread::available_parallelism().map_or(1, |count| count.get().min(COUNT_MAX))),
        Some(text) if text.parse::<u32>().is_err() => {
            item.mistyped("a number or \"cpus\"", "write a number or \"cpus\"")
        }
        _ => item.integer(1..=COUNT_MAX),
    }
}

/// A port with room for two blocks: a replacement runs beside its predecessor, so ports alternate between them.
fn first_port(item: Item<'_>, count: usize, has_socket: bool) -> Option<(u16, Span)> {
    if has_socket {
        item.key_wrong("workers on Unix sockets have no ports", "leave out `first_port`, or `socket = true`");
    }
    let port: u16 = item.integer(1..=u16::MAX)?;
    let last = usize::from(port) + 2 * count - 1;
    if last > usize::from(u16::MAX) {
        let message = format!("{count} workers from port {port} would need ports up to {last}");
        let help = match (usize::from(u16::MAX) + 1).checked_sub(2 * count).filter(|largest| *largest > 0) {
            Some(largest) => {
                format!("each needs two, for itself and its replacement: {largest} is the largest first port")
            }
            None => "each needs two, for itself and its replacement: leave `first_port` out or start fewer".to_owned(),
        };
        item.wrong(message, help);
        return None;
    }
    (!has_socket).then_some((port, item.span))
}

pub(super) fn directory_there(item: &Item<'_>) -> Option<PathBuf> {
    let path = Path::new(item.text("\"/srv/app\"")?);
    if !path.is_dir() {
        let message = format!("there is no directory {}", quote(&path.display().to_string()));
        item.wrong(message, "write the path of one that is there");
        return None;
    }
    Some(path.to_owned())
}

fn env_file_there(item: &Item<'_>) -> Option<PathBuf> {
    let path = Path::new(item.text("\"/srv/app/.env\"")?);
    let cause = match env_file::read(path).map(|text| env_file::parse(&text).map(drop)) {
        Ok(Ok(())) => return Some(path.to_owned()),
        Ok(Err(mistake)) => {
            let message = format!("{}, {mistake}", quote(&path.display().to_string()));
            item.wrong(
                message,
                "write NAME=value, one a line; a value with quotes around it may go over several lines",
            );
            return None;
        }
        Err(error) => error.to_string(),
    };
    let message = format!("cannot read {}: {cause}", quote(&path.display().to_string()));
    item.wrong(message, "write the path of a file with NAME=value lines that balancer may read");
    None
}

fn env(item: Item<'_>, socket: bool) -> Option<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    let (place, chosen) = match socket {
        true => ("SOCKET", "balancer chooses the paths, a new one at each start"),
        false => ("PORT", "ports are chosen by `first_port`"),
    };
    for item in item.section("pool.NAME.workers.env", "{ NAME = \"value\" }")?.entries() {
        let name = item.key;
        if name.is_empty() || name.contains(['=', '\0']) {
            item.key_wrong(
                format!("{} cannot be the name of a variable", quote(name)),
                "write letters, digits and `_`",
            );
        } else if name == place || name == "INSTANCE_ID" {
            item.key_wrong(format!("balancer sets `{name}` for each worker"), format!("leave it out; {chosen}"));
        } else if let Some(value) = item.text("") {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    Some(env)
}

/// Names of pools; that they are there is judged with all tables read.
fn after(item: &Item<'_>) -> Option<Vec<String>> {
    let mut pools: Vec<String> = Vec::new();
    for item in item.list("[\"db\"]")? {
        let name = item.text("the name of a pool")?;
        if pools.iter().any(|known| known == name) {
            item.wrong(format!("{} is named twice", quote(name)), "leave one of them out");
        }
        pools.push(name.to_owned());
    }
    Some(pools)
}

/// Workers of one pool at most.
pub const COUNT_MAX: usize = 4096;

/// More deaths than that in a minute are no protection.
const DEATHS_MAX: u32 = 100;
