//! The load generators.
//!
//! Decides how each is called and what its output means. Called by [`super::measurement`]. Never compares.

mod ab;
mod open;
mod wrk;

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) use open::run;
pub(crate) use wrk::scripts;

/// One generator with its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A connection per request, as in the articles: `ab` without `-k`.
    Ab { requests: u32, concurrency: u32 },
    /// Connections kept open, one thread; with `upload`, 1 MB in each request.
    Wrk { connections: u32, seconds: u32, upload: bool },
    /// `rate` arrivals a second whatever the answers do; 0 asks as fast as answers come.
    Open { connections: u32, rate: u32, seconds: u32 },
}

/// What a generator said about one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// As the generator counts.
    pub(crate) requests_per_second: f64,
    /// Not answered, cut, answered with another length or with a status other than 2xx (wrk: 2xx, 3xx).
    pub(crate) failed: u64,
    /// So many per cent of the requests took at most so many milliseconds; the least percentage first.
    pub(crate) percentiles: Vec<(f64, f64)>,
    /// The same in as many points as a picture needs, where the generator gives them.
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Tool {
    /// The program's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tool::Ab { .. } => "ab",
            Tool::Wrk { .. } => "wrk",
            Tool::Open { .. } => "bench",
        }
    }

    /// Connections at once.
    pub(crate) fn connections(self) -> u32 {
        match self {
            Tool::Ab { concurrency, .. } => concurrency,
            Tool::Wrk { connections, .. } | Tool::Open { connections, .. } => connections,
        }
    }

    /// The arguments before the URL, without those that only say where to write.
    pub(crate) fn load(self) -> Vec<String> {
        match self {
            Tool::Ab { requests, concurrency } => ab::load(requests, concurrency),
            Tool::Wrk { connections, seconds, .. } => wrk::load(connections, seconds),
            Tool::Open { connections, rate, seconds } => open::load(connections, rate, seconds),
        }
    }

    /// All arguments; `folder` has the scripts and takes what a generator writes beside its report, [`CSV`].
    pub(crate) fn arguments(self, port: u16, path: &str, folder: &Path) -> Vec<String> {
        let mut arguments = self.load();
        match self {
            Tool::Ab { .. } => arguments.extend(ab::quietly_into(&folder.join(CSV))),
            Tool::Wrk { upload, .. } => arguments.extend(wrk::script(upload, folder)),
            Tool::Open { .. } => {
                arguments.extend(["--port".to_owned(), port.to_string(), "--path".to_owned(), path.to_owned()]);
                return arguments;
            }
        }
        arguments.push(format!("http://127.0.0.1:{port}{path}"));
        arguments
    }

    /// A run that takes longer than this hangs.
    pub(crate) fn time_max(self) -> Duration {
        match self {
            // 500 requests a second is far below what any of this does; ab gives up after 30 s of silence by itself.
            Tool::Ab { requests, .. } => Duration::from_secs(60 + u64::from(requests) / 500),
            Tool::Wrk { seconds, .. } | Tool::Open { seconds, .. } => Duration::from_secs(u64::from(seconds) + 60),
        }
    }

    /// A short run of the same shape that is not counted: opens upstream connections, touches memory once.
    pub(crate) fn warm_up(self) -> Tool {
        match self {
            Tool::Ab { requests, concurrency } => {
                let most = concurrency.max(1_000);
                Tool::Ab { requests: (requests / 10).clamp(concurrency, most), concurrency }
            }
            Tool::Wrk { connections, upload, .. } => Tool::Wrk { connections, seconds: 1, upload },
            Tool::Open { connections, rate, .. } => Tool::Open { connections, rate, seconds: 1 },
        }
    }

    /// Reads the generator's output. `body_bytes` is the length of a right answer's body.
    pub(crate) fn read(self, stdout: &str, csv: &str, body_bytes: usize) -> Result<Reading, String> {
        match self {
            Tool::Ab { .. } => ab::read(stdout, csv, body_bytes as u64),
            Tool::Wrk { .. } => wrk::read(stdout),
            Tool::Open { .. } => serde_json::from_str(stdout).map_err(|e| e.to_string()),
        }
    }
}

/// Where ab writes its percentiles; overwritten by each run.
pub(crate) const CSV: &str = "percentiles.csv";

/// The first number of the line that starts with `label`.
fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
    rest.split_ascii_whitespace().next()?.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// The same where the line must be there.
fn number_in(text: &str, label: &str) -> Result<f64, String> {
    number_after(text, label).ok_or_else(|| format!("its output has no line \"{label} NUMBER\""))
}
