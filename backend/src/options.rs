//! What the operator asked for.
//!
//! Decides what each argument and environment variable means. Called by the program's argument parser and, once, by
//! `serve`. Never touches the network or the process.

use std::path::PathBuf;
use std::time::Duration;

use crate::duration::parse_duration;
use crate::work::Work;

/// The worker's arguments. `PORT`, `HOST`, `SOCKET` and `INSTANCE_ID` come from the environment where not given.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Port to listen on; wins over every other way of naming one
    #[arg(value_name = "PORT")]
    pub position: Option<u16>,

    /// Port to listen on, 0 lets the kernel choose [default: 8000]
    #[arg(long, env = "PORT", hide_env_values = true)]
    pub port: Option<u16>,

    /// Address or name to listen on
    #[arg(long, env = "HOST", hide_env_values = true, default_value = "127.0.0.1")]
    pub host: String,

    /// Unix socket to listen on instead of a port; a stale one is replaced
    #[arg(long, env = "SOCKET", hide_env_values = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// What the worker calls itself; {host} is the name of its host or container [default: "server INSTANCE", else "server PORT"]
    #[arg(long)]
    pub name: Option<String>,

    /// Which of its fellow workers this one is, from 1
    #[arg(long, env = "INSTANCE_ID", hide_env_values = true)]
    pub instance: Option<String>,

    /// How connections are served
    #[arg(long, value_enum, default_value_t = Model::EventLoop)]
    pub model: Model,

    /// Threads of the models pool and multi, children of prefork [default: 8 of pool and prefork, the cores of multi]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Connections that wait for a thread of the model pool; who comes beyond is answered 503 [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub queue: Option<u32>,

    /// Connections that wait in the kernel until they are accepted [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub backlog: Option<u16>,

    /// Listen beside others on the same port (SO_REUSEPORT)
    #[arg(long)]
    pub reuse_port: bool,

    /// A client that sends nothing for so long before its request is whole is answered 408 [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,

    /// What each request costs: cpu=5ms, sleep=10s, or both with a comma
    #[arg(long, value_name = "WORK", value_parser = crate::work::parse)]
    pub work: Option<Work>,

    /// Requests that are worked on at once, at most; others wait
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub slots: Option<u16>,

    /// Whether a connection stays for the next request [default: on, but for the model sequential]
    #[arg(long, value_name = "on|off", value_parser = parse_switch)]
    pub keep_alive: Option<bool>,

    /// Become this user once it listens, as root can; its supplementary groups are its own
    #[arg(long, value_name = "USER")]
    pub drop_to: Option<String>,

    /// A child of the model prefork, whose standard input is the listener
    #[arg(long, hide = true)]
    pub prefork_child: bool,

    /// Close a connection that is idle for this long, "250ms", "5s", plain numbers are ms [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub keep_alive_timeout: Option<Duration>,

    /// Wait before listening
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub start_delay: Duration,

    /// CPU time each request burns, in microseconds
    #[arg(long, value_name = "N", conflicts_with = "work", value_parser = clap::value_parser!(u64).range(..=60_000_000))]
    pub work_us: Option<u64>,

    /// Wait before each answer, in milliseconds
    #[arg(long, value_name = "N", conflicts_with = "work", value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub delay_ms: Option<u64>,

    /// Fail at once, without listening (exit code 1)
    #[arg(long)]
    pub fail_start: bool,

    /// Go on serving when TERM comes (INT still drains)
    #[arg(long)]
    pub ignore_term: bool,

    /// Abort when the request after this many arrives
    #[arg(long, value_name = "N")]
    pub crash_after: Option<u64>,

    /// Answer this many requests slowly, then as usual: a runtime that compiles while it serves
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub cold_requests: u64,

    /// How much slower those are, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub cold_ms: u64,

    /// Append the X-Test-Id of each request that is run to the file FOLDER/PID, which outlives the process
    #[arg(long, value_name = "FOLDER")]
    pub record: Option<PathBuf>,
}

impl Options {
    /// The TCP port to listen on; `None` where it is the Unix socket's turn.
    pub(crate) fn tcp_port(&self) -> Option<u16> {
        match (self.position, &self.socket) {
            (Some(port), _) => Some(port),
            (None, Some(_)) => None,
            (None, None) => Some(self.port.unwrap_or(8000)),
        }
    }

    /// Whether the options go with the model.
    ///
    /// # Errors
    /// The reason why one does not, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let model = self.model;
        if self.queue.is_some() && model != Model::Pool {
            return Err("--queue is for --model pool: no other model has a queue of its own".into());
        }
        match model {
            Model::Sequential if self.keep_alive == Some(true) => Err(
                "--model sequential closes after each answer: a connection that stays would keep all others waiting"
                    .into(),
            ),
            Model::Sequential | Model::Prefork if self.slots.is_some_and(|slots| slots > 1) => Err(format!(
                "--model {} works on one request at a time in a process: --slots {} would never be used",
                model.name(),
                self.slots.unwrap_or_default()
            )),
            Model::Pool if self.slots.is_some() => {
                Err("--model pool works on as many requests as it has threads: say --threads".into())
            }
            Model::Sequential | Model::Threads | Model::EventLoop if self.threads.is_some() => Err(format!(
                "--threads is for the models pool, multi and prefork: --model {} has {}",
                model.name(),
                if model == Model::Threads { "a thread for each connection" } else { "one thread" }
            )),
            _ if self.keep_alive == Some(false) && self.keep_alive_timeout.is_some() => {
                Err("--keep-alive-timeout has no effect with --keep-alive off".into())
            }
            _ => Ok(()),
        }
    }

    /// What each request costs.
    pub(crate) fn work(&self) -> Work {
        self.work.unwrap_or(Work {
            cpu: Duration::from_micros(self.work_us.unwrap_or(0)),
            sleep: Duration::from_millis(self.delay_ms.unwrap_or(0)),
        })
    }

    pub(crate) fn backlog(&self) -> i32 {
        self.backlog.map_or(BACKLOG, i32::from)
    }

    /// Threads, or children, of the models that have a number of them.
    pub(crate) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        match (self.threads, self.model) {
            (Some(threads), _) => threads.into(),
            (None, Model::Multi) => cores(),
            (None, _) => THREADS,
        }
    }

    pub(crate) fn queue(&self) -> usize {
        self.queue.and_then(|queue| usize::try_from(queue).ok()).unwrap_or(QUEUE)
    }

    /// Whether connections stay for the next request.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.keep_alive.unwrap_or(self.model != Model::Sequential)
    }
}

/// How a worker serves its connections.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// One thread, all connections at once
    EventLoop,
    /// One connection at a time, one request, answer, close
    Sequential,
    /// A thread for each connection
    #[value(alias = "thread-per-connection")]
    Threads,
    /// A fixed number of threads, a connection each, and a bounded queue in front of them
    #[value(alias = "thread-pool")]
    Pool,
    /// An event loop on each core
    Multi,
    /// Processes that share the listener, a connection each
    Prefork,
}

impl Model {
    fn name(self) -> &'static str {
        match self {
            Model::EventLoop => "event-loop",
            Model::Sequential => "sequential",
            Model::Threads => "threads",
            Model::Pool => "pool",
            Model::Multi => "multi",
            Model::Prefork => "prefork",
        }
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("\"{text}\" is neither on nor off")),
    }
}

/// Where nothing is said.
const BACKLOG: i32 = 1024;
const THREADS: usize = 8;
const QUEUE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<(), String> {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            options: Options,
        }
        let all = std::iter::once("backend").chain(arguments.iter().copied());
        <Arguments as clap::Parser>::try_parse_from(all).map_err(|error| error.to_string())?.options.check()
    }

    #[test]
    fn an_option_that_a_model_contradicts_is_refused_with_the_reason() {
        for (arguments, reason) in [
            (&["--model", "sequential", "--keep-alive", "on"][..], "would keep all others waiting"),
            (&["--model", "sequential", "--slots", "2"], "--slots 2 would never be used"),
            (&["--model", "prefork", "--slots", "2"], "one request at a time in a process"),
            (&["--model", "sequential", "--threads", "2"], "--model sequential has one thread"),
            (&["--model", "threads", "--threads", "2"], "a thread for each connection"),
            (&["--model", "event-loop", "--threads", "2"], "has one thread"),
            (&["--model", "pool", "--slots", "2"], "say --threads"),
            (&["--model", "threads", "--queue", "5"], "no other model has a queue"),
            (&["--keep-alive", "off", "--keep-alive-timeout", "5s"], "has no effect with --keep-alive off"),
            (&["--work", "cpu=1ms", "--work-us", "5"], "cannot be used with"),
            (&["--keep-alive", "perhaps"], "neither on nor off"),
        ] {
            let said = check(arguments).unwrap_err();
            assert!(said.contains(reason), "{arguments:?}: {said}");
        }
        for arguments in [
            &["--model", "sequential", "--keep-alive", "off", "--slots", "1"][..],
            &["--model", "thread-pool", "--threads", "2", "--queue", "0"],
            &["--model", "thread-per-connection", "--slots", "9", "--timeout", "3s", "--backlog", "10"],
            &["--model", "multi", "--threads", "2", "--work", "sleep=1s"],
            &["--model", "prefork", "--threads", "2", "--keep-alive", "on"],
        ] {
            assert_eq!(check(arguments), Ok(()), "{arguments:?}");
        }
    }
}
