//! More than can be done: what is still done, and what the others are told.
//!
//! Decides the order: one offered load after the other, each on a fresh site whose capacity is measured first. Called by `main`. Never
//! offers more than its bounds allow.

mod capacity;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::arguments::whole_seconds;
use crate::crowd::arrivals::poisson;
use crate::crowd::contender::Contender;
use crate::crowd::output::Output;
use crate::crowd::site::{Asked, Ground};
use crate::crowd::summary::{Latencies, ends};
use crate::crowd::visit::{End, Visit};
use crate::crowd::{self, Bounds};
use crate::descriptors;
use crate::events::Events;
use crate::failure::Failure;
use crate::plot::Picture;
use crate::say;
use crate::target::Configuration;

/// The arguments of `overload`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Offered loads, in multiples of capacity
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0.5,0.8,1,1.5,2,5,10,20",
        value_parser = multiple
    )]
    offered: Vec<f64>,
    /// How long clients arrive at each load, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = whole_seconds)]
    duration: Duration,
    /// What a request takes of one of the four workers, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    service: u64,
    /// How long a request may wait in the balancer's queue, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_timeout: u64,
    /// Connections open at once; who comes while there are so many does not set out
    #[arg(long, value_name = "N", default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: u32,
    #[command(flatten)]
    asked: Asked,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Overload {
    seconds: u64,
    service_ms: u64,
    queue_timeout_ms: u64,
    seed: u64,
    placement: String,
    rows: Vec<Row>,
    configurations: Vec<Configuration>,
}

/// One contender at one load.
#[derive(Debug, Serialize)]
struct Row {
    contender: Contender,
    /// In multiples of capacity.
    offered: f64,
    /// Requests a second the workers answer when each is asked directly, one request after the other; measured just before,
    /// for a busy machine has less of it.
    capacity: f64,
    arrivals: usize,
    /// Answered 200 while clients arrived, a second.
    goodput: f64,
    /// Of those answered 200.
    accepted: Option<Latencies>,
    /// Of those answered 503.
    refused: Option<Latencies>,
    /// Share of the 503 that say when to come again, 0 to 1.
    retry_after: Option<f64>,
    ends: BTreeMap<String, usize>,
    overlaps: u64,
    /// 99 % of the clients set out at most so late, milliseconds: our own fault.
    late: f64,
}

/// Measures, writes the files and returns the text.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended when this returns.
pub(crate) fn overload(plan: &Plan, events: &Arc<Events>) -> Result<String, Failure> {
    let output = Output::check(&plan.asked.output(), "overload")?;
    let ground = Ground::find(&plan.asked, &[Contender::Balancer], events)?;
    descriptors::raise(u64::from(plan.connections) + 256);
    let (mut rows, mut configurations) = (Vec::new(), Vec::new());
    for contender in &ground.contenders {
        for (nth, offered) in plan.offered.iter().enumerate() {
            let (row, configuration) = plan.measure(*contender, *offered, &ground)?;
            say(&report::progress(&row));
            rows.push(row);
            if nth == 0 {
                configurations.push(configuration);
            }
        }
    }
    let overload = Overload {
        seconds: plan.duration.as_secs(),
        service_ms: plan.service,
        queue_timeout_ms: plan.queue_timeout,
        seed: plan.asked.seed,
        placement: ground.cores.describe(),
        rows,
        configurations,
    };
    let [goodput, latency] = report::pictures(&overload);
    let pictures: [(&str, &dyn Picture); 2] = [("goodput", &goodput), ("latency", &latency)];
    let written = output.write(&overload, &report::csv(&overload), &pictures)?;
    written.iter().for_each(|path| say(&format!("written: {}", path.display())));
    Ok(report::render(&overload))
}

impl Plan {
    fn service(&self) -> Duration {
        Duration::from_millis(self.service)
    }

    fn measure(&self, contender: Contender, offered: f64, ground: &Ground) -> Result<(Row, Configuration), Failure> {
        let wait = Duration::from_millis(self.queue_timeout);
        let mut site = ground.site(contender, self.service(), self.connections, wait)?;
        let capacity = capacity::measure(&site.workers, &ground.events)?;
        let arrivals = poisson(offered * capacity, self.duration, 0.0, self.asked.seed);
        // Whoever waits longer than twice what the configuration promises waits too long.
        let patience = 2 * (wait + self.service()) + Duration::from_secs(2);
        let bounds = Bounds { connections_max: self.connections, patience };
        let sent = crowd::send(&arrivals, &["/"], site.proxy.port, bounds, &site.pids(), &ground.events)?;
        let visits = sent.map_err(|pid| site.ended(pid))?;
        let overlaps = site.overlaps(&ground.events)?;
        Ok((Row::of(contender, [offered, capacity], self.duration, &visits, overlaps), site.configuration()))
    }
}

impl Row {
    fn of(contender: Contender, [offered, capacity]: [f64; 2], time: Duration, visits: &[Visit], overlaps: u64) -> Row {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let latencies = |wanted: fn(&Visit) -> bool| {
            let latencies = visits.iter().filter(|visit| wanted(visit)).map(|visit| milliseconds(visit.latency));
            Latencies::of(&latencies.collect::<Vec<_>>())
        };
        let refused = latencies(|visit| matches!(visit.end, End::Answered { status: 503, .. }));
        let told = visits.iter().filter(|v| matches!(v.end, End::Answered { status: 503, retry_after: true })).count();
        let late: Vec<f64> = visits.iter().map(|visit| milliseconds(visit.late)).collect();
        let served = visits.iter().filter(|visit| visit.is_served() && visit.left <= time).count();
        Row {
            contender,
            offered,
            capacity,
            arrivals: visits.len(),
            goodput: served as f64 / time.as_secs_f64(),
            accepted: latencies(Visit::is_served),
            refused,
            retry_after: refused.map(|refused| told as f64 / refused.count as f64),
            ends: ends(visits),
            overlaps,
            late: Latencies::of(&late).map_or(0.0, |late| late.p99),
        }
    }
}

fn multiple(text: &str) -> Result<f64, String> {
    let multiple = text.parse::<f64>().ok().filter(|multiple| (0.01..=100.0).contains(multiple));
    multiple.ok_or_else(|| "from 0.01 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::visit::Fault;

    #[test]
    fn a_row_tells_accepted_from_refused() {
        let visit = |milliseconds, left, end| Visit {
            path: 0,
            latency: Duration::from_millis(milliseconds),
            left: Duration::from_millis(left),
            late: Duration::from_micros(100),
            end,
        };
        let answered = |status, retry_after| End::Answered { status, retry_after };
        let visits = [
            visit(20, 500, answered(200, false)),
            visit(900, 1_900, answered(200, false)),
            visit(950, 2_100, answered(200, false)),
            visit(1, 700, answered(503, true)),
            visit(3, 800, answered(503, false)),
            visit(5_000, 6_000, End::Failed(Fault::TimedOut)),
        ];
        let row = Row::of(Contender::Balancer, [2.0, 100.0], Duration::from_secs(2), &visits, 0);
        // Who was answered after the last arrival does not count as goodput, but as accepted.
        assert_eq!((row.goodput, row.accepted.unwrap().count, row.accepted.unwrap().max), (1.0, 3, 950.0));
        assert_eq!((row.refused.unwrap().max, row.retry_after), (3.0, Some(0.5)));
        assert_eq!(row.ends.get("no answer in time"), Some(&1));
        assert_eq!(
            Row::of(Contender::Balancer, [1.0, 100.0], Duration::from_secs(2), &visits[..1], 0).retry_after,
            None
        );
    }

    #[test]
    fn an_offered_load_is_bounded() {
        assert_eq!(multiple("20"), Ok(20.0));
        for text in ["0", "101", "-1", "NaN", "x"] {
            assert!(multiple(text).is_err(), "{text}");
        }
    }
}
