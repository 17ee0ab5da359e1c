//! The result as a page of Markdown that one can take in at a look.
//!
//! Decides what a reader who was not there needs: the bars with ratios first, then the medians that matter. Called by
//! [`super::files`]. Never has all figures: those are data, in the files beside it.

use super::figure::Figure;
use super::{Report, Section};

/// The pictures' folder, beside the page.
pub(crate) const PICTURES: &str = "pictures";
/// The section that has the bars.
pub(crate) const BARS: &str = "Bars";

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut text = "# Results\n\n\
        A run of `bench` writes this page, and all figures to `bench/results/results.json` and `results.csv`. Ratios are what carries over to another\n\
        machine: both sides of one ran in the same minute. Absolute figures are those of this machine and this hour. How to read them: [README.md](README.md).\n\n"
        .to_owned();
    report.head.iter().for_each(|line| text += &format!("- {line}\n"));
    let (bars, sections): (Vec<_>, Vec<_>) = report.sections.iter().partition(|section| section.name == BARS);
    for section in bars {
        text += "\n## Bars\n\n| | measured | bar | | reach |\n|---|---|---|---|---|\n";
        for figure in section.figures() {
            let verdict = figure.verdict().replace("MISSED", "**missed**");
            let [measured, bar, reach] = [figure.text(), figure.bar_text(), figure.reach_text()];
            text += &format!("| {} | {measured} | {bar} | {verdict} | {reach} |\n", figure.what);
        }
    }
    for drawing in &report.drawings {
        text += &format!("\n![{}]({PICTURES}/{}.svg)\n", drawing.caption, drawing.name);
    }
    text + &medians(&sections)
}

/// A row for each scenario and figure of [`SHOWN`], a column for each program.
fn medians(sections: &[&Section]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for figure in sections.iter().flat_map(|section| section.figures()).filter(is_shown) {
        if !columns.contains(&figure.of.as_str()) {
            columns.push(&figure.of);
        }
    }
    let mut text =
        format!("\n## Medians\n\n| | | {} |\n|---|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for section in sections {
        for what in SHOWN {
            let of = |column: &&str| {
                section.figures().find(|figure| figure.what.trim() == what && figure.of == *column && is_shown(figure))
            };
            let cells: Vec<Option<&Figure>> = columns.iter().map(of).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let median = |figure: &Figure| figure.median().map_or_else(String::new, |median| figure.unit.text(median));
            let cells: Vec<String> = cells.into_iter().map(|cell| cell.map_or_else(String::new, median)).collect();
            text += &format!("| {} | {what} | {} |\n", section.name, cells.join(" | "));
        }
    }
    for section in sections {
        section.notes.iter().for_each(|note| text += &format!("\n{}: {}\n", section.name, note.replace('\n', " ")));
    }
    text
}

fn is_shown(figure: &&Figure) -> bool {
    SHOWN.contains(&figure.what.trim()) && !figure.rounds.is_empty()
}

const SHOWN: [&str; 4] = ["99 %", "requests/s", "proxy, CPU µs/request", "KB per idle connection"];

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::super::figure::{Bar, Unit};
    use super::*;
    use crate::plot::Drawing;

    #[test]
    fn the_page_has_bars_pictures_and_medians() {
        let figure = |of, what, rounds: &[f64]| Figure::of_rounds(of, what, Unit::Number, rounds.to_vec());
        let figures = vec![figure("direct", "requests/s", &[7.0]), figure("nginx", "requests/s", &[1.0, 3.0, 2.0])];
        let mut section = Section::new(Layout::Columns, "", vec![figures, vec![figure("nginx", "  user", &[1.0])]]);
        section.name = "keepalive".to_owned();
        section.notes = vec!["!!! nginx: 7 FAILED REQUESTS.".to_owned()];
        let mut report = Report::of(vec!["2 usable cores".to_owned()], section);
        let bar = Figure::seen("CPU, nginx = 1", 0.95, Unit::Ratio).barred(Bar::AtMost(0.9)).reaching(0.8);
        report.sections.push(Section { name: BARS.to_owned(), ..Section::of_lines(vec![bar]) });
        report.drawings = vec![Drawing { name: "cpu".to_owned(), caption: "CPU".to_owned(), svg: String::new() }];
        let text = page(&report);
        for part in [
            "\n- 2 usable cores\n",
            "\n| CPU, nginx = 1 | 0.95 | ≤ 0.90 | **missed** | ≤ 0.80 |\n",
            "\n![CPU](pictures/cpu.svg)\n",
            "\n| | | direct | nginx |\n|---|---|---|---|\n| keepalive | requests/s | 7.00 | 2.00 |\n",
            "\nkeepalive: !!! nginx: 7 FAILED REQUESTS.\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("user"), "{text}");
    }
}
