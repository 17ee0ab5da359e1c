//! The man with small change: how long those wait who want little, behind those who want much.
//!
//! Decides the order: the same crowd visits each contender in turn. Called by `main`. Never lets one contender see another's
//! workers: each has fresh ones.

mod report;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::arguments::whole_seconds;
use crate::crowd::arrivals::{Arrival, poisson};
use crate::crowd::contender::Contender;
use crate::crowd::output::Output;
use crate::crowd::site::{Asked, Ground, WORKERS};
use crate::crowd::{self, Bounds};
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::plot::Picture;
use crate::say;
use crate::target::Configuration;

/// The arguments of `supermarket`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Arrivals as a share of what four workers can do
    #[arg(long, value_name = "SHARE", default_value_t = 0.7, value_parser = share)]
    load: f64,
    /// How long clients arrive, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = whole_seconds)]
    duration: Duration,
    #[command(flatten)]
    asked: Asked,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Supermarket {
    load: f64,
    seconds: u64,
    seed: u64,
    arrivals: usize,
    placement: String,
    rows: Vec<Row>,
    configurations: Vec<Configuration>,
}

/// One contender.
#[derive(Debug, Serialize)]
struct Row {
    contender: Contender,
    /// Milliseconds from when a request was due, of those answered 200, in no order.
    fast: Vec<f64>,
    slow: Vec<f64>,
    /// How often each status or fault came.
    ends: std::collections::BTreeMap<String, usize>,
    /// Answers before which the worker had a second connection waiting.
    overlaps: u64,
    /// How late the latest client set out, milliseconds: our own fault.
    late: f64,
}

/// Measures, writes the files and returns the text, and whether all was answered 200.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended when this returns.
pub(crate) fn supermarket(plan: &Plan, events: &Arc<Events>) -> Result<(String, bool), Failure> {
    let output = Output::check(&plan.asked.output(), "supermarket")?;
    let ground = Ground::find(&plan.asked, &DEFAULT, events)?;
    descriptors::raise(u64::from(BOUNDS.connections_max) + SPARE_DESCRIPTORS);
    let arrivals = poisson(plan.load * capacity(), plan.duration, SLOW_SHARE, plan.asked.seed);
    let (mut rows, mut configurations) = (Vec::new(), Vec::new());
    for contender in &ground.contenders {
        say(&format!("{}: {} clients in {} s", contender.name(), arrivals.len(), plan.duration.as_secs()));
        let (row, configuration) = measure(*contender, &arrivals, &ground)?;
        say(&report::progress(&row));
        rows.push(row);
        configurations.push(configuration);
    }
    let supermarket = Supermarket {
        load: plan.load,
        seconds: plan.duration.as_secs(),
        seed: plan.asked.seed,
        arrivals: arrivals.len(),
        placement: ground.cores.describe(),
        rows,
        configurations,
    };
    let [fast, slow] = report::pictures(&supermarket);
    let pictures: [(&str, &dyn Picture); 2] = [("fast", &fast), ("slow", &slow)];
    let written = output.write(&supermarket, &report::csv(&supermarket), &pictures)?;
    written.iter().for_each(|path| say(&format!("written: {}", path.display())));
    Ok((report::render(&supermarket), supermarket.rows.iter().all(Row::is_served)))
}

fn measure(contender: Contender, arrivals: &[Arrival], ground: &Ground) -> Result<(Row, Configuration), Failure> {
    let mut site = ground.site(contender, FAST, BOUNDS.connections_max, BOUNDS.patience)?;
    let sent = crowd::send(arrivals, &PATHS, site.proxy.port, BOUNDS, &site.pids(), &ground.events)?;
    let visits = sent.map_err(|pid| site.ended(pid))?;
    let served = |path| {
        let of_path = visits.iter().filter(move |visit| visit.path == path && visit.is_served());
        of_path.map(|visit| milliseconds(visit.latency)).collect()
    };
    let late = visits.iter().map(|visit| visit.late).max().unwrap_or_default();
    let row = Row {
        contender,
        fast: served(0),
        slow: served(1),
        ends: crowd::summary::ends(&visits),
        overlaps: site.overlaps(&ground.events)?,
        late: milliseconds(late),
    };
    Ok((row, site.configuration()))
}

impl Row {
    fn is_served(&self) -> bool {
        self.ends.keys().all(|end| end == "200")
    }
}

/// Requests a second four workers can answer.
fn capacity() -> f64 {
    let mean = SLOW_SHARE * SLOW.as_secs_f64() + (1.0 - SLOW_SHARE) * FAST.as_secs_f64();
    WORKERS as f64 / mean
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.01..=2.0).contains(share));
    share.ok_or_else(|| "a share from 0.01 to 2".to_owned())
}

const DEFAULT: [Contender; 5] =
    [Contender::Balancer, Contender::BalancerQueue, Contender::Nginx, Contender::NginxLeastConn, Contender::Haproxy];
/// What a request takes of a worker, without any path and with the second of [`PATHS`].
const FAST: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_millis(1000);
/// Different routes, so that a balancer can learn which are slow. Every request waits [`FAST`], these 995 ms more.
const PATHS: [&str; 2] = ["/fast", "/delay?ms=995"];
const SLOW_SHARE: f64 = 0.05;
/// For what is no client: files, pipes, the runtime.
const SPARE_DESCRIPTORS: u64 = 256;
const BOUNDS: Bounds = Bounds { connections_max: 4_000, patience: Duration::from_secs(60) };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crowd_is_that_of_the_description() {
        assert_eq!(capacity().round(), 73.0);
        let arrivals = poisson(0.7 * capacity(), Duration::from_secs(60), SLOW_SHARE, 1);
        assert!((2_900..3_250).contains(&arrivals.len()), "{}", arrivals.len());
        assert_eq!(PATHS[1], format!("/delay?ms={}", (SLOW - FAST).as_millis()));
    }

    #[test]
    fn a_load_is_a_share() {
        assert_eq!(share("0.8"), Ok(0.8));
        for text in ["0", "-1", "3", "NaN", "inf", "x", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
