//! The arguments of `guard` and `instructions`.
//!
//! Decides defaults. Called by [`crate::arguments`]. Never looks at the repository.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::arguments::whole_seconds;

/// As typed.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The revision to compare with [default: where this branch left main; on main, HEAD where files are changed, else
    /// HEAD~1]
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Pairs of measurements, of which the median ratio is printed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of one wrk run, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = whole_seconds)]
    duration: Duration,
    /// Requests of one ab run
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    requests: u32,
    /// Requests over which instructions are counted
    #[arg(long, value_name = "N", default_value_t = COUNTED, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    counted: u32,
    /// One half only: CPU time by the clock, or instructions by callgrind
    #[arg(long)]
    only: Option<Part>,
}

/// What `instructions` is told: one program, nothing to compare it with.
#[derive(Args, Clone, Debug)]
pub(crate) struct One {
    /// The balancer to count [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    pub(super) balancer: Option<PathBuf>,
    /// The backend behind it [default: this workspace's, built when needed]
    #[arg(long, value_name = "PATH")]
    pub(super) backend: Option<PathBuf>,
    /// Requests over which instructions are counted
    #[arg(long, value_name = "N", default_value_t = COUNTED, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(super) counted: u32,
}

/// One half of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// CPU time per request under wrk and ab
    Clock,
    /// Instructions per request in user space, by valgrind's callgrind
    Instructions,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Some folder inside the repository.
    pub(crate) folder: PathBuf,
    pub(crate) base: Option<String>,
    pub(crate) rounds: u32,
    pub(crate) duration: Duration,
    pub(crate) requests: u32,
    pub(crate) counted: u32,
    pub(crate) only: Option<Part>,
}

impl Arguments {
    pub(crate) fn plan(self) -> Plan {
        let Arguments { base, rounds, duration, requests, counted, only } = self;
        Plan { folder: PathBuf::from("."), base, rounds, duration, requests, counted, only }
    }
}

const COUNTED: u32 = 1_000;
