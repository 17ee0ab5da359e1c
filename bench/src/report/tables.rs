//! The table of one scenario.
//!
//! Decides which rows there are and which ratios a scenario is about. Called by [`super::render`] and [`super::page`]. Never
//! judges.

use crate::compare::Section;
use crate::cpu::Cpu;
use crate::figure::{Figure, Runs, difference, quotient};
use crate::measurement::Measurement;
use crate::scenario::{Column, Condition, Scenario};
use crate::statistics::{Spread, percent, ratio, three_digits, whole};
use crate::syscalls::Call;
use crate::table::Table;
use crate::target::Target;

/// Latency, throughput, costs, ratios; a row nobody has a figure for is left out.
pub(super) fn figures(runs: Runs<'_>, section: &Section) -> Table {
    let mut sheet = Sheet { runs, columns: &section.columns, table: Table::default() };
    let first = section.columns.iter().find_map(|column| runs.of(*column).next());
    let label = match first {
        None => String::new(),
        Some(run) if run.reading.percentiles.is_empty() => String::new(),
        Some(run) => format!("{} latency, ms", run.tool),
    };
    sheet.head(&label);
    for found in first.iter().flat_map(|run| &run.reading.percentiles) {
        let label = if found.percent == 100.0 { "max".to_owned() } else { format!("{:>3} %", found.percent) };
        sheet.row(&label, three_digits, |run| run.reading.percentile(found.percent));
    }
    if !label.is_empty() {
        sheet.table.gap();
    }
    let idle = section.scenario == Scenario::Idle;
    sheet.row(if idle { "connections/s" } else { "requests/s" }, whole, |run| Some(run.reading.requests_per_second));
    let part = |cpu: fn(Cpu) -> f64| move |run: &Measurement| Some(run.per_request(cpu(run.proxy_cpu?)));
    sheet.row("proxy, CPU µs/request", three_digits, part(Cpu::seconds));
    sheet.row("  user", three_digits, part(|cpu| cpu.user_seconds));
    sheet.row("  kernel", three_digits, part(|cpu| cpu.system_seconds));
    sheet.row("  context switches/request", three_digits, |run| {
        Some(run.context_switches? as f64 / run.reading.requests.max(1) as f64)
    });
    sheet.row("  memory (RSS), MB", three_digits, |run| Some(run.rss_bytes? as f64 / 1e6));
    sheet.row("  KB per idle connection", ratio, |run| Figure::IdleMemory.of(run));
    sheet.row("  its core busy", percent, |run| run.proxy_core_busy);
    let used = |seconds: f64, run: &Measurement| (seconds > 0.0).then(|| run.per_request(seconds));
    sheet.row("origin, CPU µs/request", three_digits, |run| used(run.origin_cpu.seconds(), run));
    sheet.row("generator, CPU µs/request", three_digits, |run| used(run.generator_cpu.seconds(), run));
    sheet.row("generator's core busy", percent, |run| {
        (run.generator_core_busy > 0.0).then_some(run.generator_core_busy)
    });
    sheet.row("failed requests", whole, |run| Some(run.reading.failed as f64));
    sheet.table.gap();
    for (label, figure, base) in ratios(section.scenario) {
        sheet.ratio_row(label, *figure, base);
    }
    if section.scenario == Scenario::AccessLog {
        sheet.pairwise_row(
            "CPU µs/request more with log",
            Figure::Cpu,
            Base::WithoutCondition,
            difference,
            three_digits,
        );
    }
    sheet.table
}

/// Calls per request, the most frequent first, in a column each.
pub(super) fn system_calls(section: &Section) -> Table {
    let mut table = Table::default();
    table.row("system calls/request", section.syscalls.iter().map(|counted| counted.column.name()));
    let mut names: Vec<&str> = Vec::new();
    for call in section.syscalls.iter().flat_map(|counted| &counted.calls) {
        if !names.contains(&call.name.as_str()) {
            names.push(&call.name);
        }
    }
    let per_request = |count: u64, requests: u64| count as f64 / requests.max(1) as f64;
    let found = |calls: &[Call], name: &str| calls.iter().find(|call| call.name == name).cloned();
    for name in names {
        let each = section.syscalls.iter().map(|counted| (found(&counted.calls, name), counted.requests));
        let shares: Vec<Option<(f64, f64)>> = each
            .map(|(call, requests)| {
                call.map(|call| (per_request(call.count, requests), per_request(call.errors, requests)))
            })
            .collect();
        if shares.iter().flatten().all(|(share, _)| *share < SELDOM) {
            continue;
        }
        let cell = |share: &Option<(f64, f64)>| match share {
            None => "–".to_owned(),
            Some((share, errors)) if *errors < SELDOM => ratio(*share),
            Some((share, errors)) => format!("{} ({} failed)", ratio(*share), ratio(*errors)),
        };
        table.row(name, shares.iter().map(cell));
    }
    let all = section.syscalls.iter().map(|counted| {
        let sum = counted.calls.iter().map(|call| call.count).sum();
        ratio(per_request(sum, counted.requests))
    });
    table.row("all", all);
    table
}

/// To what a figure is set in proportion.
#[derive(Clone, Copy)]
enum Base {
    Target(Target),
    /// The same target without what the column's name adds.
    WithoutCondition,
}

const CPU_NGINX: (&str, Figure, Base) = ("proxy CPU, nginx = 1", Figure::Cpu, Base::Target(Target::Nginx));
const CPU_HAPROXY: (&str, Figure, Base) = ("proxy CPU, haproxy = 1", Figure::Cpu, Base::Target(Target::Haproxy));
const CPU_SPLICE: (&str, Figure, Base) =
    ("proxy CPU, haproxy splice = 1", Figure::Cpu, Base::Target(Target::HaproxySplice));
const RATE_DIRECT: (&str, Figure, Base) = ("requests/s, direct = 1", Figure::Rate, Base::Target(Target::Direct));
const RATE_NGINX: (&str, Figure, Base) = ("requests/s, nginx = 1", Figure::Rate, Base::Target(Target::Nginx));
const P99_DIRECT: (&str, Figure, Base) = ("p99, direct = 1", Figure::P99, Base::Target(Target::Direct));
const P99_NGINX: (&str, Figure, Base) = ("p99, nginx = 1", Figure::P99, Base::Target(Target::Nginx));

fn ratios(scenario: Scenario) -> &'static [(&'static str, Figure, Base)] {
    match scenario {
        Scenario::Keepalive | Scenario::Connection | Scenario::Many => {
            &[RATE_DIRECT, RATE_NGINX, CPU_NGINX, CPU_HAPROXY]
        }
        Scenario::Kb100 | Scenario::Mb1 | Scenario::Upload => {
            &[RATE_DIRECT, RATE_NGINX, CPU_NGINX, CPU_HAPROXY, CPU_SPLICE]
        }
        Scenario::Latency | Scenario::Open50 | Scenario::Open90 => &[P99_DIRECT, P99_NGINX, CPU_NGINX, CPU_HAPROXY],
        Scenario::Idle => &[
            ("memory, nginx = 1", Figure::IdleMemory, Base::Target(Target::Nginx)),
            ("memory, haproxy = 1", Figure::IdleMemory, Base::Target(Target::Haproxy)),
        ],
        Scenario::IdleLoad => &[
            ("requests/s, none idle = 1", Figure::Rate, Base::WithoutCondition),
            ("proxy CPU, none idle = 1", Figure::Cpu, Base::WithoutCondition),
        ],
        Scenario::Unix => &[RATE_NGINX, CPU_NGINX, CPU_HAPROXY],
        Scenario::Work => &[RATE_DIRECT, P99_DIRECT, P99_NGINX],
        Scenario::AccessLog => &[("proxy CPU, no log = 1", Figure::Cpu, Base::WithoutCondition)],
    }
}

struct Sheet<'a> {
    runs: Runs<'a>,
    columns: &'a [Column],
    table: Table,
}

impl Sheet<'_> {
    fn head(&mut self, label: &str) {
        self.table.row(label, self.columns.iter().map(|column| column.name()));
    }

    fn row(&mut self, label: &str, number: fn(f64) -> String, value: impl Fn(&Measurement) -> Option<f64>) {
        let spread = |column: &Column| Spread::of(self.runs.of(*column).filter_map(&value));
        let cells: Vec<Option<Spread>> = self.columns.iter().map(spread).collect();
        self.cells(label, number, &cells);
    }

    fn ratio_row(&mut self, label: &str, figure: Figure, base: &Base) {
        self.pairwise_row(label, figure, *base, quotient, ratio);
    }

    fn pairwise_row(
        &mut self,
        label: &str,
        figure: Figure,
        base: Base,
        combine: fn(f64, f64) -> Option<f64>,
        number: fn(f64) -> String,
    ) {
        let spread = |column: &Column| {
            let base = match base {
                Base::Target(target) => Column::plain(target),
                Base::WithoutCondition => Column { condition: Condition::Plain, ..*column },
            };
            self.runs.pairwise(*column, base, figure, combine)
        };
        let cells: Vec<Option<Spread>> = self.columns.iter().map(spread).collect();
        self.cells(label, number, &cells);
    }

    fn cells(&mut self, label: &str, number: fn(f64) -> String, cells: &[Option<Spread>]) {
        if cells.iter().any(Option::is_some) {
            let text = |cell: &Option<Spread>| cell.map_or_else(|| "–".to_owned(), |spread| spread.text(number));
            self.table.row(label, cells.iter().map(text));
        }
    }
}

/// Calls a request below which a row says nothing.
const SELDOM: f64 = 0.005;
