//! What `overload` prints, writes and draws.
//!
//! Decides the table, the CSV and the two pictures. Called by [`super::overload`]. Never says good or bad.

use std::fmt::Write as _;

use super::{Overload, Row};
use crate::crowd::site::WORKERS;
use crate::crowd::summary::{Latencies, ends_text, milliseconds};
use crate::plot::{Axis, Lines, Scale, Series};
use crate::statistics::{percent, three_digits, whole};
use crate::table::Table;

pub(super) fn render(all: &Overload) -> String {
    // Writing to a String does not fail, here and below.
    let mut text = String::new();
    let _ = writeln!(text, "{}; seed {}", description(all), all.seed);
    let _ = writeln!(text, "{}\n", all.placement);
    let mut table = Table::default();
    let head = [
        "capacity",
        "offered",
        "goodput",
        "of capacity",
        "200 p50",
        "200 p99",
        "503 p99",
        "503 max",
        "Retry-After",
        "overlaps",
    ];
    table.row("requests/s, latency in ms", head.map(str::to_owned));
    let mut contender = None;
    for row in &all.rows {
        if contender.replace(row.contender) != Some(row.contender) {
            table.gap();
        }
        let [p50, _, p99, _] = Latencies::cells(row.accepted);
        let [_, _, refused, refused_max] = Latencies::cells(row.refused);
        let cells = [
            three_digits(row.capacity),
            whole(row.offered * row.capacity),
            three_digits(row.goodput),
            percent(row.goodput / row.capacity),
            p50,
            p99,
            refused,
            refused_max,
            row.retry_after.map_or_else(|| "–".to_owned(), percent),
            whole(row.overlaps as f64),
        ];
        table.row(format!("{} × {}", row.contender.name(), row.offered), cells);
    }
    text += &table.render();
    text += "\nCapacity: of the workers without a balancer, just before. Goodput: answered 200 while clients arrived. Latency counts from when a request was due.\n";
    for row in &all.rows {
        let _ = writeln!(text, "{} × {}: {}", row.contender.name(), row.offered, ends_text(&row.ends));
    }
    for row in all.rows.iter().filter(|row| row.late > LATE) {
        let _ = writeln!(
            text,
            "!!! {} × {}: clients set out up to {} ms late (99 % of them less): generator or machine was the bottleneck.",
            row.contender.name(),
            row.offered,
            milliseconds(row.late)
        );
    }
    for configuration in &all.configurations {
        let _ = write!(text, "\n--- {}: {}\n{}", configuration.name, configuration.command, configuration.text);
    }
    text
}

/// One line about a row, as soon as it is there.
pub(super) fn progress(row: &Row) -> String {
    let [_, _, p99, _] = Latencies::cells(row.accepted);
    let (name, goodput) = (row.contender.name(), whole(row.goodput));
    format!("{name} × {}: goodput {goodput}/s, p99 {p99} ms; {}", row.offered, ends_text(&row.ends))
}

/// One line for each contender and load.
pub(super) fn csv(all: &Overload) -> String {
    let mut text = "contender,offered,capacity_per_s,arrivals,goodput_per_s,accepted,accepted_p50_ms,accepted_p99_ms,\
                    refused,refused_p99_ms,refused_max_ms,retry_after_share,overlaps\n"
        .to_owned();
    for row in &all.rows {
        let figure = |latencies: Option<Latencies>, one: fn(Latencies) -> f64| {
            latencies.map_or_else(String::new, |latencies| format!("{:.3}", one(latencies)))
        };
        let count = |latencies: Option<Latencies>| latencies.map_or(0, |latencies| latencies.count);
        let fields = [
            format!("\"{}\"", row.contender.name()),
            row.offered.to_string(),
            format!("{:.1}", row.capacity),
            row.arrivals.to_string(),
            format!("{:.1}", row.goodput),
            count(row.accepted).to_string(),
            figure(row.accepted, |accepted| accepted.p50),
            figure(row.accepted, |accepted| accepted.p99),
            count(row.refused).to_string(),
            figure(row.refused, |refused| refused.p99),
            figure(row.refused, |refused| refused.max),
            row.retry_after.map_or_else(String::new, |share| format!("{share:.4}")),
            row.overlaps.to_string(),
        ];
        let _ = writeln!(text, "{}", fields.join(","));
    }
    text
}

/// Goodput, and latency at the 99th percentile, over the offered load.
pub(super) fn pictures(all: &Overload) -> [Lines; 2] {
    let mut names: Vec<_> = all.rows.iter().map(|row| row.contender).collect();
    names.dedup();
    let series = |name: &str, hue: usize, contender, y: fn(&Row) -> Option<f64>| {
        let rows = all.rows.iter().filter(|row| row.contender == contender);
        let points = rows.map(|row| (row.offered, y(row).unwrap_or(f64::NAN))).collect();
        Series { name: name.to_owned(), hue, points }
    };
    let axis = |label: &str, scale| Axis { label: label.to_owned(), scale };
    let offered = || axis("offered load, multiples of capacity", Scale::Logarithmic);
    let capacity = Series {
        name: "capacity of the workers".to_owned(),
        hue: 0,
        points: all
            .rows
            .iter()
            .filter(|row| Some(&row.contender) == names.first())
            .map(|row| (row.offered, row.capacity))
            .collect(),
    };
    let goodput = names.iter().map(|name| series(name.name(), name.hue(), *name, |row| Some(row.goodput)));
    let mut latency: Vec<Series> = names
        .iter()
        .map(|name| {
            let label = format!("{}: answered 200", name.name());
            series(&label, name.hue(), *name, |row| row.accepted.map(|accepted| accepted.p99))
        })
        .collect();
    // With several contenders the refused would hide the accepted.
    if let [name] = names[..] {
        let label = format!("{}: answered 503", name.name());
        latency.push(series(&label, REFUSED_HUE, name, |row| row.refused.map(|refused| refused.p99)));
    }
    [
        Lines {
            title: "What is done when more is asked for".to_owned(),
            subtitle: description(all),
            x: offered(),
            y: axis("requests answered 200 per second", Scale::Linear),
            series: std::iter::once(capacity).chain(goodput).collect(),
        },
        Lines {
            title: "How long it takes when more is asked for".to_owned(),
            subtitle: description(all),
            x: offered(),
            y: axis("99th percentile of latency, ms", Scale::Logarithmic),
            series: latency,
        },
    ]
}

fn description(all: &Overload) -> String {
    format!(
        "{WORKERS} workers, one request of {} ms at a time; {} s at each load; queued for at most {} ms",
        all.service_ms, all.seconds, all.queue_timeout_ms
    )
}

/// Milliseconds; clients that set out later make the figures the generator's too.
const LATE: f64 = 20.0;
const REFUSED_HUE: usize = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::crowd::contender::Contender;
    use crate::plot::Picture as _;

    fn all() -> Overload {
        let latencies = |p99| Some(Latencies { count: 9, p50: 20.0, p90: 30.0, p99, max: 2.0 * p99 });
        let row = |offered, goodput, refused, retry_after| Row {
            contender: Contender::Balancer,
            offered,
            capacity: 190.0,
            arrivals: 100,
            goodput,
            accepted: latencies(900.0),
            refused,
            retry_after,
            ends: BTreeMap::from([("200".to_owned(), 9)]),
            overlaps: 0,
            late: 0.5,
        };
        Overload {
            seconds: 6,
            service_ms: 20,
            queue_timeout_ms: 1000,
            seed: 1,
            placement: "pinned".to_owned(),
            rows: vec![row(0.5, 95.0, None, None), row(20.0, 188.0, latencies(4.0), Some(1.0))],
            configurations: Vec::new(),
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_load() {
        let text = render(&all());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        for line in [
            "balancer, slow lane × 0.5 190 95 95.0 50 % 20.0 900 – – – 0",
            "balancer, slow lane × 20 190 3,800 188 99 % 20.0 900 4.00 8.00 100 % 0",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_column_has_a_head() {
        let text = render(&all());
        let ends = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().chars().count();
        assert_eq!(ends("requests/s, latency in ms"), ends("balancer, slow lane × 20"), "{text}");
        assert!(text.contains("   capacity   offered   goodput   of capacity"), "{text}");
    }

    #[test]
    fn a_late_generator_is_told() {
        let mut all = all();
        assert!(!render(&all).contains("!!!"));
        all.rows[1].late = 150.0;
        assert!(
            render(&all).contains("!!! balancer, slow lane × 20: clients set out up to 150 ms late"),
            "{}",
            render(&all)
        );
    }

    #[test]
    fn the_csv_has_as_many_fields_in_each_line() {
        let text = csv(&all());
        // The names have a comma within quotes.
        let fields: Vec<usize> = text.lines().map(|line| line.replace(", ", " ").split(',').count()).collect();
        assert_eq!(fields, [13, 13, 13]);
    }

    #[test]
    fn the_pictures_have_goodput_against_capacity_and_both_latencies() {
        let [goodput, latency] = pictures(&all()).map(|picture| picture.svg().unwrap());
        assert!(goodput.contains("capacity of the workers") && goodput.contains("balancer, slow lane"));
        assert!(latency.contains("slow lane: answered 200") && latency.contains("slow lane: answered 503"));
    }
}
