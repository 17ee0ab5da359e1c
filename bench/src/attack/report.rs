//! What `attack` prints and writes.
//!
//! Decides the table, the CSV and what is said of the bar. Called by [`super::attack`]. Never measures.

use std::fmt::Write as _;

use super::{Attacks, Kind, Phase, Row};
use crate::crowd::summary::{Latencies, ends_text, milliseconds};
use crate::statistics::{Spread, ratio, three_digits, whole};
use crate::table::Table;

pub(super) fn render(all: &Attacks) -> String {
    // Writing to a String does not fail, here and below.
    let mut text = String::new();
    let _ = writeln!(text, "{}; seed {}", description(all), all.seed);
    let _ = writeln!(text, "{}\n", all.placement);
    let mut table = Table::default();
    let head =
        ["p50 without", "with", "p99 without", "with", "p99 with/without", "bar < 2", "failed", "RSS without", "with"];
    table.row("good clients, ms and MB", head.map(str::to_owned));
    let mut contender = None;
    for row in &all.rows {
        if contender.replace(row.contender) != Some(row.contender) {
            table.gap();
        }
        table.row(label(row), cells(row));
    }
    text += &table.render();
    text += "\nLatency counts from when a request was due. Attackers, by the ends of their connections; who is cut comes again:\n";
    for row in &all.rows {
        for round in &row.rounds {
            let ends = if round.attackers.is_empty() { "none ended".to_owned() } else { ends_text(&round.attackers) };
            let _ = writeln!(text, "{}: {ends}; {} open at the end", label(row), whole(round.open as f64));
        }
    }
    for row in &all.rows {
        for phase in row.rounds.iter().flat_map(|round| [&round.without, &round.with]) {
            if phase.failed > 0 {
                let _ = writeln!(text, "!!! {}: good clients got {}", label(row), ends_text(&phase.ends));
            }
            if phase.late > LATE {
                let late = milliseconds(phase.late);
                let _ = writeln!(
                    text,
                    "!!! {}: good clients set out up to {late} ms late (99 % of them less): generator or machine was the bottleneck.",
                    label(row)
                );
            }
        }
    }
    for configuration in &all.configurations {
        let _ = write!(text, "\n--- {}: {}\n{}", configuration.name, configuration.command, configuration.text);
    }
    text
}

/// One line about a row, as soon as it is there.
pub(super) fn progress(row: &Row) -> String {
    let ratio = Spread::of(row.ratios()).map_or_else(|| "–".to_owned(), |ratios| ratios.text(ratio));
    let failed: usize = row.rounds.iter().map(super::Round::failed).sum();
    format!("{}: p99 with/without {ratio}, {failed} good requests failed", label(row))
}

/// One line for each round.
pub(super) fn csv(all: &Attacks) -> String {
    let mut text = "contender,kind,round,without_p50_ms,without_p99_ms,with_p50_ms,with_p99_ms,failed,\
                    without_rss_bytes,with_rss_bytes,open\n"
        .to_owned();
    for row in &all.rows {
        for (nth, round) in row.rounds.iter().enumerate() {
            let figure = |phase: &Phase, one: fn(Latencies) -> f64| {
                phase.served.map_or_else(String::new, |latencies| format!("{:.3}", one(latencies)))
            };
            let fields = [
                format!("\"{}\"", row.contender.name()),
                row.kind.name().to_owned(),
                (nth + 1).to_string(),
                figure(&round.without, |latencies| latencies.p50),
                figure(&round.without, |latencies| latencies.p99),
                figure(&round.with, |latencies| latencies.p50),
                figure(&round.with, |latencies| latencies.p99),
                round.failed().to_string(),
                round.without.rss.to_string(),
                round.with.rss.to_string(),
                round.open.to_string(),
            ];
            let _ = writeln!(text, "{}", fields.join(","));
        }
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let median = |figure: &dyn Fn(&super::Round) -> Option<f64>, number: fn(f64) -> String| {
        let values = Spread::of(row.rounds.iter().filter_map(figure));
        values.map_or_else(|| "–".to_owned(), |values| number(values.median))
    };
    let ratios = Spread::of(row.ratios());
    let bar = ratios.map_or("missed", |ratios| if ratios.median < BAR { "held" } else { "missed" });
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    [
        median(&|round| Some(round.without.served?.p50), milliseconds),
        median(&|round| Some(round.with.served?.p50), milliseconds),
        median(&|round| Some(round.without.served?.p99), milliseconds),
        median(&|round| Some(round.with.served?.p99), milliseconds),
        ratios.map_or_else(|| "–".to_owned(), |ratios| ratios.text(ratio)),
        bar.to_owned(),
        whole(row.rounds.iter().map(super::Round::failed).sum::<usize>() as f64),
        median(&|round| Some(megabytes(round.without.rss)), three_digits),
        median(&|round| Some(megabytes(round.with.rss)), three_digits),
    ]
}

fn label(row: &Row) -> String {
    let of = if row.kind == Kind::Read { format!(" of {} kB", row.response / 1_000) } else { String::new() };
    format!("{}: {}{of}", row.contender.name(), row.kind.name())
}

fn description(all: &Attacks) -> String {
    format!(
        "{} attackers at once; {} good requests/s, {} s without and {} s with them in turns; {} ms at the worker",
        whole(f64::from(all.connections)),
        all.rate,
        all.seconds,
        all.seconds,
        all.service_ms
    )
}

/// The 99th percentile of a good client's latency stays below this multiple of what it is without the attack.
const BAR: f64 = 2.0;
/// Milliseconds; clients that set out later make the figures the generator's too.
const LATE: f64 = 20.0;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Round;
    use super::*;
    use crate::crowd::contender::Contender;

    fn all() -> Attacks {
        let phase = |p99, failed| Phase {
            served: Some(Latencies { count: 2_400, p50: 1.0, p90: 2.0, p99, max: 9.0 }),
            failed,
            ends: BTreeMap::from([("200".to_owned(), 2_400), ("503".to_owned(), failed)]),
            rss: 20_000_000,
            late: 0.5,
        };
        let round = |without, with, failed| Round {
            without: phase(without, 0),
            with: Phase { rss: 35_000_000, ..phase(with, failed) },
            open: 1_990,
            attackers: BTreeMap::from([("408".to_owned(), 2_200)]),
        };
        let row = |kind, rounds| Row { contender: Contender::Balancer, kind, response: 100_000, rounds };
        Attacks {
            connections: 2_000,
            rate: 200,
            seconds: 12,
            service_ms: 0,
            seed: 1,
            placement: "pinned".to_owned(),
            rows: vec![
                row(Kind::Header, vec![round(2.0, 3.0, 0), round(2.0, 5.0, 0), round(2.0, 2.0, 0)]),
                row(Kind::Read, vec![round(2.0, 4.0, 7)]),
            ],
            configurations: Vec::new(),
        }
    }

    #[test]
    fn the_table_judges_the_median_of_the_rounds() {
        let text = render(&all());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        for line in [
            "balancer, slow lane: slow header 1.00 1.00 2.00 3.00 1.50 (1.00–2.50) held 0 20.0 35.0",
            "balancer, slow lane: slow read of 100 kB 1.00 1.00 2.00 4.00 2.00 missed 7 20.0 35.0",
            "balancer, slow lane: slow header: 2,200 × 408; 1,990 open at the end",
            "!!! balancer, slow lane: slow read of 100 kB: good clients got 2,400 × 200, 7 × 503",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("!!!").count(), 1, "{text}");
    }

    #[test]
    fn a_late_generator_is_told() {
        let mut all = all();
        all.rows[0].rounds[0].with.late = 150.0;
        assert!(render(&all).contains("good clients set out up to 150 ms late"), "{}", render(&all));
    }

    #[test]
    fn nobody_served_is_no_bar_held() {
        let mut all = all();
        all.rows[1].rounds[0].with.served = None;
        let text = render(&all);
        let row = text.lines().find(|line| line.starts_with("balancer, slow lane: slow read of 100 kB  "));
        assert!(row.is_some_and(|row| row.contains("missed")), "{text}");
    }

    #[test]
    fn the_csv_has_as_many_fields_in_each_line() {
        let text = csv(&all());
        // The names have a comma within quotes.
        let fields: Vec<usize> = text.lines().map(|line| line.replace(", ", " ").split(',').count()).collect();
        assert_eq!(fields, [11; 5]);
    }
}
