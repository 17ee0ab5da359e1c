//! The load generators.
//!
//! Decides how each is called and what its output means. Called by [`crate::measurement`]. Never compares.

mod ab;
mod wrk;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::arguments::Plan;

/// One generator with its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A connection per request, as in the articles: `ab` without `-k`.
    Ab { requests: u32, concurrency: u32 },
    /// Connections kept open, one thread.
    Wrk { connections: u32, seconds: u32 },
}

/// What a generator said about one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Reading {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// As the generator counts.
    pub(crate) requests_per_second: f64,
    /// Not answered, cut, answered with another length or with a status other than 2xx (wrk: 2xx, 3xx).
    pub(crate) failed: u64,
    /// Latency, in the order of the articles' table.
    pub(crate) percentiles: Vec<Percentile>,
}

/// So many per cent of the requests took at most so long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentile {
    pub(crate) percent: u8,
    pub(crate) milliseconds: f64,
}

impl Tool {
    /// Both generators, as planned.
    pub(crate) fn planned(plan: &Plan) -> [Tool; 2] {
        let seconds = u32::try_from(plan.duration.as_secs()).unwrap_or(u32::MAX);
        let ab = Tool::Ab { requests: plan.requests, concurrency: plan.concurrency };
        [ab, Tool::Wrk { connections: plan.connections, seconds }]
    }

    /// The program's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tool::Ab { .. } => "ab",
            Tool::Wrk { .. } => "wrk",
        }
    }

    /// What it does, for the head of its table.
    pub(crate) fn manner(self) -> &'static str {
        match self {
            Tool::Ab { .. } => "a connection per request",
            Tool::Wrk { .. } => "connections kept open",
        }
    }

    /// The arguments before the URL, without those that only say where to write.
    pub(crate) fn load(self) -> Vec<String> {
        match self {
            Tool::Ab { requests, concurrency } => ab::load(requests, concurrency),
            Tool::Wrk { connections, seconds } => wrk::load(connections, seconds),
        }
    }

    /// All arguments; `csv` is the file a generator may write its fine-grained latencies to.
    pub(crate) fn arguments(self, url: &str, csv: &Path) -> Vec<String> {
        let mut arguments = self.load();
        if let Tool::Ab { .. } = self {
            arguments.extend(ab::quietly_into(csv));
        }
        arguments.push(url.to_owned());
        arguments
    }

    /// A run that takes longer than this hangs.
    pub(crate) fn time_max(self) -> Duration {
        match self {
            // 500 requests a second is far below what any of this does; ab gives up after 30 s of silence by itself.
            Tool::Ab { requests, .. } => Duration::from_secs(60 + u64::from(requests) / 500),
            Tool::Wrk { seconds, .. } => Duration::from_secs(u64::from(seconds) + 30),
        }
    }

    /// A short run of the same shape that is not counted: opens upstream connections, touches memory once.
    pub(crate) fn warm_up(self) -> Tool {
        match self {
            Tool::Ab { concurrency, .. } => Tool::Ab { requests: concurrency.max(1_000), concurrency },
            Tool::Wrk { connections, .. } => Tool::Wrk { connections, seconds: 1 },
        }
    }

    /// Reads the generator's output. `body_bytes` is the length of a right answer's body.
    ///
    /// # Errors
    /// What is missing in it, in words.
    pub(crate) fn read(self, stdout: &str, csv: &str, body_bytes: usize) -> Result<Reading, String> {
        match self {
            Tool::Ab { .. } => ab::read(stdout, csv, body_bytes as u64),
            Tool::Wrk { .. } => wrk::read(stdout),
        }
    }
}

/// The first number of the line that starts with `label`.
fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
    rest.split_ascii_whitespace().next()?.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// The same where the line must be there.
fn number_in(text: &str, label: &str) -> Result<f64, String> {
    number_after(text, label).ok_or_else(|| format!("its output has no line \"{label} NUMBER\""))
}
