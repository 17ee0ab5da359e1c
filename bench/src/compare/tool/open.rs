//! Our own open loop: arrivals that wait for nobody, latency counted from the moment a request was due.
//!
//! Decides its arguments and its report. Called by [`super::Tool`] for the command line, and by `main` as the program behind
//! it, which runs on the generator's core: `wrk` and `ab` send the next request when the last is answered, and `h2load --rps`
//! sends those of all its connections in one burst. Never slows down because answers are late.

use std::{io, time::Duration};

use super::Reading;
use crate::load::{Clients, Load, Pace, Plan, Sent, local};
use crate::{
    arguments::OpenLoop, events::Events, failure::Failure, load::arrivals::poisson, load::get::Get,
    statistics::Latencies,
};

pub(super) fn load(connections: u32, rate: u32, seconds: u32) -> Vec<String> {
    let options = [("--connections", connections), ("--rate", rate), ("--seconds", seconds)];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]);
    std::iter::once("open-loop".to_owned()).chain(options).collect()
}

/// Loads `given.port` and says how it went, as JSON.
pub(crate) fn run(given: &OpenLoop, events: &Events) -> Result<String, Failure> {
    let time = Duration::from_secs(given.seconds.into());
    // One run of the program asks for one path.
    let paths: &'static [&'static str] = Box::leak(Box::new([&*Box::leak(given.path.clone().into_boxed_str())]));
    // No rate: whoever is free asks.
    let pace = if given.rate == 0 { Pace::CLOSED } else { Pace::at(poisson(given.rate.into(), time, 0.0, SEED)) };
    let plan = Plan { pace, clients: Clients::Kept(given.connections), patience: time + DRAIN };
    let load = Load::start(plan, Get { address: local(given.port), paths, keep: true })?;
    while load.elapsed() < time + DRAIN && !load.has_ended() {
        events.wait_any(&[], BETWEEN_LOOKS)?;
        if given.rate == 0 && load.elapsed() >= time {
            load.stop();
        }
    }
    // What is not answered by now is counted as failed.
    let reading = reading(&load.sent(), load.issued(), load.elapsed().max(time));
    serde_json::to_string(&reading).map_err(|e| Failure::system("write the reading", io::Error::other(e)))
}

fn reading(sent: &[Sent], issued: u64, time: Duration) -> Reading {
    let latencies = Latencies::of(sent.iter().filter(|one| one.is_served()).map(Sent::latency));
    let requests = latencies.as_ref().map_or(0, Latencies::count);
    // Late answers take longer than the arrivals did, and the rate says so.
    let seconds = sent.iter().map(|one| one.at).max().unwrap_or(time).as_secs_f64();
    let percentiles = |all: &Latencies| PERCENTS.map(|percent| (percent, all.percentile(percent))).to_vec();
    Reading {
        requests,
        requests_per_second: requests as f64 / seconds.max(0.001),
        failed: issued.saturating_sub(requests),
        percentiles: latencies.as_ref().map(percentiles).unwrap_or_default(),
        curve: latencies.as_ref().map(Latencies::curve).unwrap_or_default(),
    }
}

/// What the report has lines for.
const PERCENTS: [f64; 8] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0];
/// The same arrivals in every run.
const SEED: u64 = 1;
/// What answers may be late by after the last arrival; then they count as failed.
const DRAIN: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::answer::{End, Fault};

    #[test]
    fn a_reading_has_percentiles_and_what_was_not_answered() {
        let sent = |at, end| Sent {
            number: 0,
            kind: 0,
            due: Duration::ZERO,
            set_out: Duration::ZERO,
            well: Duration::ZERO,
            at: Duration::from_millis(at),
            end,
            said: None,
        };
        let mut all: Vec<Sent> =
            (1..=1000).map(|at| sent(at, End::Answered { status: 200, retry_after: false })).collect();
        all.push(sent(2_000, End::Failed(Fault::Cut)));
        let found = reading(&all, 1_003, Duration::from_secs(1));
        assert_eq!((found.requests, found.failed, found.requests_per_second), (1_000, 3, 500.0));
        let rounded: Vec<_> =
            found.percentiles.iter().map(|(percent, milliseconds)| (*percent, milliseconds.round())).collect();
        assert_eq!(rounded[..5], [(50.0, 500.0), (75.0, 750.0), (90.0, 900.0), (95.0, 950.0), (99.0, 990.0)]);
        let text = serde_json::to_string(&found).unwrap();
        let read = super::super::Tool::Open { connections: 1, rate: 1, seconds: 1 }.read(&text, "", 0).unwrap();
        assert_eq!((read.requests, read.percentiles, read.curve.len()), (1_000, found.percentiles, found.curve.len()));
        assert!(reading(&[], 0, Duration::from_secs(1)).percentiles.is_empty());
    }
}
