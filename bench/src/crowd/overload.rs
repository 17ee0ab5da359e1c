//! More than can be done: what is still done, and what the others are told.
//!
//! Decides the order: one offered load after the other, each on a fresh site whose capacity is measured first. Called by `main`. Never
//! offers more than its bounds allow.

use std::{sync::Arc, time::Duration};

use clap::Args;

use super::{Asked, Contender, Site, WORKERS, lateness, percentiles};
use crate::arguments::{multiple, whole_seconds};
use crate::load::answer::{End, ends_text};
use crate::load::{self, Clients, Load, Pace, Sent, local};
use crate::plot::{Axis, Drawing, Lines, Scale, Series};
use crate::report::figure::{Figure, Unit};
use crate::report::{Layout, Report, Section};
use crate::{
    descriptors, events::Events, failure::Failure, load::arrivals::poisson, load::get::Get, say, service::Service,
    statistics::Latencies,
};

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
    pub(crate) offered: Vec<f64>,
    /// How long clients arrive at each load, whole seconds or minutes
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = whole_seconds)]
    pub(crate) duration: Duration,
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
    pub(crate) asked: Asked,
}

/// Measures all; that some are refused is what it is about.
pub(crate) fn overload(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let (lab, contenders) = plan.asked.lab(&[Contender::Balancer], events)?;
    descriptors::raise(u64::from(plan.connections) + 256);
    let wait = Duration::from_millis(plan.queue_timeout);
    let service = Duration::from_millis(plan.service);
    let (mut groups, mut notes, mut configurations) = (Vec::new(), Vec::new(), Vec::new());
    for contender in &contenders {
        let mut figures = Vec::new();
        for (nth, offered) in plan.offered.iter().enumerate() {
            let name = format!("{} × {offered}", contender.name());
            let mut site = Site::start(&lab, *contender, ("sequential", service), plan.connections, wait)?;
            let capacity = capacity(&site.workers, events)?;
            let arrivals = poisson(offered * capacity, plan.duration, 0.0, plan.asked.seed);
            // Whoever waits longer than twice what the configuration promises waits too long.
            let patience = 2 * (wait + service) + Duration::from_secs(2);
            let sent = site.send(arrivals, &["/"], Clients::Fresh(plan.connections), patience)?;
            figures.extend(row(&name, [*offered, capacity], plan.duration, &sent));
            figures.push(Figure::count("overlaps", usize::try_from(site.overlaps()?).unwrap_or(usize::MAX)).of(&name));
            notes.push(format!("{name}: {}", ends_text(sent.iter().map(|one| one.end))));
            say(notes.last().map_or("", String::as_str));
            notes.extend(lateness(&name, &sent));
            if nth == 0 {
                configurations.push(site.proxy.configuration());
            }
        }
        groups.push(figures);
    }
    notes.push("Capacity: of the workers without a balancer, just before. Goodput: answered 200 while clients arrived. Latency counts from when a request was due.".to_owned());
    let description = format!(
        "{WORKERS} workers, one request of {} ms at a time; {} s at each load; queued for at most {} ms",
        plan.service,
        plan.duration.as_secs(),
        plan.queue_timeout
    );
    let head = vec![format!("{description}; seed {}", plan.asked.seed), lab.cores.describe()];
    let section = Section { notes, ..Section::new(Layout::Rows, "requests/s, latency in ms", groups) };
    let drawings = drawings(&plan.offered, &contenders, &section, &description)?;
    Ok(Report { configurations, drawings, ..Report::of(head, section) })
}

/// The figures of one contender at one load.
fn row(of: &str, [offered, capacity]: [f64; 2], time: Duration, sent: &[Sent]) -> Vec<Figure> {
    let latencies = |status: u16| {
        let wanted = sent.iter().filter(|one| matches!(one.end, End::Answered { status: got, .. } if got == status));
        Latencies::of(wanted.map(Sent::latency))
    };
    let (accepted, refused) = (latencies(200), latencies(503));
    let told = sent.iter().filter(|one| matches!(one.end, End::Answered { status: 503, retry_after: true })).count();
    let goodput = sent.iter().filter(|one| one.is_served() && one.at <= time).count() as f64 / time.as_secs_f64();
    let told = refused.as_ref().map_or(f64::NAN, |refused| told as f64 / refused.count() as f64);
    let mut figures = vec![
        Figure::seen("capacity", capacity, Unit::Number),
        Figure::seen("offered", offered * capacity, Unit::Count),
        Figure::seen("goodput", goodput, Unit::Number),
        Figure::seen("of capacity", goodput / capacity, Unit::Share),
    ];
    figures.extend(percentiles(of, &[("200 p50", 50.0), ("200 p99", 99.0)], accepted.as_ref()));
    figures.extend(percentiles(of, &[("503 p99", 99.0), ("503 max", 100.0)], refused.as_ref()));
    figures.push(Figure::seen("Retry-After", told, Unit::Share));
    figures.into_iter().map(|figure| figure.of(of)).collect()
}

/// Requests a second the workers answer when each is asked directly, one request after the other.
fn capacity(workers: &[Service], events: &Events) -> Result<f64, Failure> {
    let start = |worker: &Service| {
        let plan = load::Plan { pace: Pace::CLOSED, clients: Clients::Kept(1), patience: DIRECT_PATIENCE };
        Load::start(plan, Get { address: local(worker.port), paths: &["/"], keep: false })
    };
    let loads = workers.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    events.wait_any(&[], CAPACITY_TIME)?;
    let mut sum = 0.0;
    loads.iter().for_each(Load::stop);
    for load in &loads {
        let sent = load.wait(&[], events)?.unwrap_or_default();
        let time = sent.iter().map(|one| one.at).max().unwrap_or(CAPACITY_TIME);
        if sent.is_empty() || !sent.iter().all(Sent::is_served) {
            return Err(Failure::Missing("a worker does not answer 200 when asked directly".to_owned()));
        }
        sum += sent.len() as f64 / time.as_secs_f64();
    }
    Ok(sum)
}

/// Goodput, and latency at the 99th percentile, over the offered load.
fn drawings(
    offered: &[f64],
    contenders: &[Contender],
    section: &Section,
    description: &str,
) -> Result<Vec<Drawing>, Failure> {
    let series = |contender: &Contender, what: &str, name: String, hue| {
        let value = |offered: &f64| {
            let of = format!("{} × {offered}", contender.name());
            let found = section.figures().find(|figure| figure.of == of && figure.what == what);
            (*offered, found.and_then(Figure::median).unwrap_or(f64::NAN))
        };
        Series { name, hue, points: offered.iter().map(value).collect() }
    };
    let named = |contender: &Contender, what, suffix: &str| {
        series(contender, what, format!("{}{suffix}", contender.name()), contender.known().1)
    };
    let capacity = contenders.first().map(|first| series(first, "capacity", "capacity of the workers".to_owned(), 0));
    let goodput = capacity.into_iter().chain(contenders.iter().map(|one| named(one, "goodput", "")));
    let accepted = contenders.iter().map(|one| named(one, "200 p99", ": answered 200"));
    // With several contenders the refused would hide the accepted.
    let refused = if let [one] = contenders {
        Some(series(one, "503 p99", format!("{}: answered 503", one.name()), 2))
    } else {
        None
    };
    let lines = |name: &str, title: &str, y: &str, scale, series: Vec<Series>| {
        let axis = |label: &str, scale| Axis { label: label.to_owned(), scale };
        let x = axis("offered load, multiples of capacity", Scale::Logarithmic);
        let (text, subtitle) = (title.to_owned(), description.to_owned());
        Drawing::of(name, title, Lines { title: text, subtitle, x, y: axis(y, scale), series }.svg())
    };
    Ok(vec![
        lines(
            "goodput",
            "What is done when more is asked for",
            "requests answered 200 per second",
            Scale::Linear,
            goodput.collect(),
        )?,
        lines(
            "latency",
            "How long it takes when more is asked for",
            "99th percentile of latency, ms",
            Scale::Logarithmic,
            accepted.chain(refused).collect(),
        )?,
    ])
}

const CAPACITY_TIME: Duration = Duration::from_secs(2);
const DIRECT_PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::answer::Fault;

    #[test]
    fn a_row_tells_accepted_from_refused() {
        let sent = |latency, at, end| Sent {
            number: 0,
            kind: 0,
            due: Duration::from_millis(at - latency),
            set_out: Duration::from_millis(at - latency),
            well: Duration::ZERO,
            at: Duration::from_millis(at),
            end,
            said: None,
        };
        let answered = |status, retry_after| End::Answered { status, retry_after };
        let all = [
            sent(20, 500, answered(200, false)),
            sent(900, 1_900, answered(200, false)),
            sent(950, 2_100, answered(200, false)),
            sent(1, 700, answered(503, true)),
            sent(3, 800, answered(503, false)),
            sent(5_000, 6_000, End::Failed(Fault::TimedOut)),
        ];
        let figures = row("b × 2", [2.0, 100.0], Duration::from_secs(2), &all);
        let text = |what: &str| figures.iter().find(|figure| figure.what == what).unwrap().text();
        // Who was answered after the last arrival does not count as goodput, but as accepted.
        assert_eq!([text("offered"), text("goodput"), text("of capacity")], ["200", "1.00", "1 %"]);
        assert_eq!([text("200 p50"), text("200 p99"), text("503 max")], ["900", "950", "3.00"]);
        assert_eq!(text("Retry-After"), "50 %");
        let none = row("b × 1", [1.0, 100.0], Duration::from_secs(2), &all[..1]);
        assert!(none.iter().filter(|figure| figure.rounds.is_empty()).count() == 3, "{none:?}");
        assert!(figures.iter().all(|figure| figure.of == "b × 2"));
    }
}
