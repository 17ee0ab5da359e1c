//! What `supermarket` prints, writes and draws.
//!
//! Decides the table, the CSV and the two pictures. Called by [`super::supermarket`]. Never says who won.

use std::fmt::Write as _;

use super::{FAST, Row, SLOW, SLOW_SHARE, Supermarket};
use crate::crowd::site::WORKERS;
use crate::crowd::summary::{Latencies, ends_text, milliseconds};
use crate::plot::{Lines, Series, curve, percentiles};
use crate::statistics::whole;
use crate::table::Table;

pub(super) fn render(all: &Supermarket) -> String {
    // Writing to a String does not fail, here and below.
    let mut text = String::new();
    let _ = writeln!(text, "{}, seed {}", description(all), all.seed);
    let _ = writeln!(text, "{}; workers and clients on any core\n", all.placement);
    let mut table = Table::default();
    let heads = ["p50", "p90", "p99", "max"].map(str::to_owned);
    let head = heads.iter().map(|head| format!("fast {head}")).chain(heads.iter().map(|head| format!("slow {head}")));
    table.row("latency, ms", head.chain(["overlaps".to_owned()]));
    table.gap();
    for row in &all.rows {
        let cells = [&row.fast, &row.slow].map(|latencies| Latencies::cells(Latencies::of(latencies)));
        table.row(row.contender.name(), cells.into_iter().flatten().chain([whole(row.overlaps as f64)]));
    }
    text += &table.render();
    text += "\nLatency counts from when a request was due. Overlaps: answers before which the worker had another connection \
             waiting.\n";
    for row in &all.rows {
        let _ = writeln!(text, "{}: {}", row.contender.name(), ends_text(&row.ends));
    }
    let late = all.rows.iter().map(|row| row.late).fold(0.0, f64::max);
    let _ = writeln!(text, "The latest client set out {} ms after it was due.", milliseconds(late));
    for configuration in &all.configurations {
        let _ = write!(text, "\n--- {}: {}\n{}", configuration.name, configuration.command, configuration.text);
    }
    text
}

/// One line about a row, as soon as it is there.
pub(super) fn progress(row: &Row) -> String {
    let [_, _, fast, _] = Latencies::cells(Latencies::of(&row.fast));
    let [_, _, slow, _] = Latencies::cells(Latencies::of(&row.slow));
    format!("{}: p99 of fast {fast} ms, of slow {slow} ms; {}", row.contender.name(), ends_text(&row.ends))
}

/// One line for each contender and kind of request.
pub(super) fn csv(all: &Supermarket) -> String {
    let mut text = "contender,requests,served,p50_ms,p90_ms,p99_ms,max_ms,overlaps\n".to_owned();
    for row in &all.rows {
        for (kind, latencies) in [("fast", &row.fast), ("slow", &row.slow)] {
            let figures = Latencies::of(latencies).map_or_else(
                || "0,,,,".to_owned(),
                |l| format!("{},{:.3},{:.3},{:.3},{:.3}", l.count, l.p50, l.p90, l.p99, l.max),
            );
            let _ = writeln!(text, "\"{}\",{kind},{figures},{}", row.contender.name(), row.overlaps);
        }
    }
    text
}

/// Percentile curves of the fast and of the slow requests.
pub(super) fn pictures(all: &Supermarket) -> [Lines; 2] {
    let picture = |title: &str, latencies: fn(&Row) -> &[f64]| {
        let series = all.rows.iter().map(|row| Series {
            name: row.contender.name().to_owned(),
            hue: row.contender.hue(),
            points: curve(latencies(row)),
        });
        percentiles(title, description(all), series.collect())
    };
    [
        picture("Who wants little, behind those who want much", |row| &row.fast),
        picture("Who wants much", |row| &row.slow),
    ]
}

fn description(all: &Supermarket) -> String {
    format!(
        "{WORKERS} workers, one request at a time; {:.0} % take {} s, the rest {} ms; {} arrivals in {} s, {:.0} % of capacity",
        SLOW_SHARE * 100.0,
        SLOW.as_secs(),
        FAST.as_millis(),
        whole(all.arrivals as f64),
        all.seconds,
        all.load * 100.0
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::crowd::contender::Contender;
    use crate::plot::Picture as _;

    fn all() -> Supermarket {
        let row = |contender, fast: &[f64], slow: &[f64], ends: &[(&str, usize)]| Row {
            contender,
            fast: fast.to_vec(),
            slow: slow.to_vec(),
            ends: ends.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect::<BTreeMap<_, _>>(),
            overlaps: 7,
            late: 0.25,
        };
        Supermarket {
            load: 0.7,
            seconds: 60,
            seed: 1,
            arrivals: 3066,
            placement: "pinned".to_owned(),
            rows: vec![
                row(Contender::Balancer, &[5.5, 6.0, 12.0], &[1001.0], &[("200", 4)]),
                row(Contender::Nginx, &[777.0], &[], &[("200", 1), ("504", 2), ("no answer in time", 1)]),
            ],
            configurations: Vec::new(),
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_contender_and_every_end() {
        let text = render(&all());
        for line in [
            "balancer, slow lane       6.00       12.0       12.0       12.0      1,001      1,001      1,001      1,001",
            "nginx, round robin         777        777        777        777          –          –          –          –",
            "nginx, round robin: 1 × 200, 2 × 504, 1 × no answer in time",
            "5 % take 1 s, the rest 5 ms; 3,066 arrivals in 60 s, 70 % of capacity, seed 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(all().rows.iter().map(Row::is_served).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn the_csv_has_a_line_for_each_contender_and_kind() {
        let text = csv(&all());
        assert_eq!(text.lines().count(), 5);
        assert!(text.contains("\n\"balancer, slow lane\",fast,3,6.000,12.000,12.000,12.000,7\n"), "{text}");
        assert!(text.contains("\n\"nginx, round robin\",slow,0,,,,,7\n"), "{text}");
    }

    #[test]
    fn the_pictures_name_who_was_measured() {
        for picture in pictures(&all()) {
            let svg = picture.svg().unwrap();
            assert!(svg.contains("balancer, slow lane") && svg.contains("nginx, round robin"), "{svg}");
        }
    }
}
