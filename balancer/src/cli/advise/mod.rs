//! `balancer advise`: what live data advise.
//!
//! Decides how long is watched. Called by [`super`]. Asks a running instance again and again for some seconds, and tells it to do nothing.

mod law;
mod sentences;
#[cfg(test)]
mod sentences_tests;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::say::{fail, say, show};
use super::target::Target;
use crate::config::duration;
use sentences::Wish;
use watch::Watch;

/// What is wished.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Of 100 requests, 95 are to wait no longer for a place than this
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    wait: Duration,

    /// Watch for so long
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = watched)]
    watched: Duration,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: Options, config: Option<PathBuf>) -> ExitCode {
    let target = options.target.or(config);
    let ask = || -> Result<Value, ExitCode> {
        let (_, text) = target.read("/api/status")?;
        serde_json::from_str(&text).map_err(|_| fail("balancer: the answer is not the status of a balancer"))
    };
    if !options.json {
        say(&format!("watching for {}…", crate::shown::time(options.watched)));
    }
    let begun = Instant::now();
    let mut watch = match ask() {
        Ok(status) => Watch::begin(&status),
        Err(code) => return code,
    };
    let mut turn = 0.0;
    while begun.elapsed() < options.watched {
        // Looks as regular as the traffic would always see it in one state.
        turn = f64::fract(turn + GOLDEN);
        pause(LOOK.mul_f64(0.5 + turn).min(options.watched.saturating_sub(begun.elapsed())));
        match ask() {
            Ok(status) => watch.look(&status, begun.elapsed()),
            Err(code) => return code,
        }
    }
    let pools = watch.pools();
    let wish = Wish { wait: options.wait, cpus: std::thread::available_parallelism().map_or(1, usize::from) };
    match options.json {
        true => show(&format!("{}\n", sentences::json(&pools, wish))),
        false => show(&sentences::text(&pools, wish)),
    }
}

/// Long enough for a figure, short enough for somebody who waits.
fn watched(text: &str) -> Result<Duration, String> {
    let watched = duration(text)?;
    match (WATCHED_MIN..=WATCHED_MAX).contains(&watched) {
        true => Ok(watched),
        false => Err("write a time from 1s to 10m".to_owned()),
    }
}

#[expect(clippy::disallowed_methods, reason = "a command, which has nothing else to do")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What spreads points most evenly (Weyl's sequence of the golden ratio).
const GOLDEN: f64 = 0.618_033_988_75;
/// Between two looks, on average.
const LOOK: Duration = Duration::from_millis(50);
const WATCHED_MIN: Duration = Duration::from_secs(1);
const WATCHED_MAX: Duration = Duration::from_secs(600);
