//! What the operator asked for.
//!
//! Decides what each argument and environment variable means. Called by the program's argument parser and, once, by
//! `serve`. Never touches the network or the process.

use std::path::PathBuf;
use std::time::Duration;

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

    /// Threads of the thread-pool model
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,

    /// Close a connection that is idle for this long, "250ms", "5s", plain numbers are ms [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub keep_alive_timeout: Option<Duration>,

    /// Wait before listening
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub start_delay: Duration,

    /// CPU time each request burns, in microseconds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000_000))]
    pub work_us: u64,

    /// Wait before each answer, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub delay_ms: u64,

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
}

/// How a worker serves its connections.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// One thread, all connections at once
    EventLoop,
    /// One connection at a time, one request, answer, close
    Sequential,
    /// A thread for each connection
    ThreadPerConnection,
    /// A fixed number of threads, a connection each
    ThreadPool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        unit => return Err(format!("unknown unit \"{unit}\": say \"250ms\", \"5s\", \"1m\" or milliseconds")),
    };
    let number: u32 = digits.parse().map_err(|_| format!("\"{digits}\" is not a whole number up to {}", u32::MAX))?;
    Ok(Duration::from_millis(u64::from(number) * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_milliseconds_unless_it_has_a_unit() {
        for (text, ms) in [("0", 0), ("1500", 1500), ("250ms", 250), ("5s", 5000), ("2m", 120_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_none_is_refused() {
        for text in ["", "s", "5 s", "-1", "1.5s", "5h", "99999999999", "é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
