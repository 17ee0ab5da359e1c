//! The one form every result has, whatever was measured.
//!
//! Decides what a result consists of and how it is told as text. Called by `main` and every command. Never measures and
//! never prints.

pub(crate) mod figure;
pub(crate) mod files;
pub(crate) mod page;
pub(crate) mod table;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::plot::Drawing;
use figure::Figure;
use table::Table;

/// All of a run of this program.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was measured on, with what and how, a line each.
    pub(crate) head: Vec<String>,
    pub(crate) sections: Vec<Section>,
    /// What is to be said in the end, a line each.
    pub(crate) foot: Vec<String>,
    pub(crate) configurations: Vec<Configuration>,
    #[serde(skip)]
    pub(crate) drawings: Vec<Drawing>,
    /// A page of its own, where a command has one.
    #[serde(skip)]
    pub(crate) page: Option<String>,
    /// Whether the figures can be taken for good; the exit code says it too.
    pub(crate) sound: bool,
}

/// One table and what belongs to it.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// Empty where there is but one.
    pub(crate) name: String,
    pub(crate) title: String,
    /// The load's command line, or what else is the same for all of it.
    pub(crate) about: String,
    pub(crate) layout: Layout,
    /// What stands in the first line's first cell.
    pub(crate) corner: String,
    /// In groups, between which the table has a gap.
    pub(crate) groups: Vec<Vec<Figure>>,
    /// What a figure does not say, a line each; a line that begins with "!!!" is a warning.
    pub(crate) notes: Vec<String>,
}

/// How figures become a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// A line for each figure, with its bar, below what it is of.
    Lines,
    /// A row for each thing, a column for each kind of figure.
    Rows,
    /// A column for each thing, a row for each kind of figure.
    Columns,
}

/// What a program was told, printed with the result so that somebody else can run it again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    pub(crate) command: String,
    /// The configuration file's text; empty when there is none.
    pub(crate) text: String,
}

impl Report {
    /// Of figures that were all measured in one go.
    pub(crate) fn of(head: Vec<String>, section: Section) -> Report {
        let sound = !section.figures().any(Figure::is_missed);
        let sections = vec![section];
        Report { head, sections, foot: Vec::new(), configurations: Vec::new(), drawings: Vec::new(), page: None, sound }
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text: String = self.head.iter().map(|line| format!("{line}\n")).collect();
        for section in &self.sections {
            text += &format!("\n{}{}", section.heading(), section.body());
        }
        self.foot.iter().for_each(|line| text += &format!("\n{line}\n"));
        text + &self.configurations()
    }

    /// Bars that are held, and those that are missed.
    pub(crate) fn bars(&self) -> String {
        let count = |held| {
            let figures = self.sections.iter().flat_map(Section::figures);
            figures.filter(|figure| figure.held == Some(held)).count()
        };
        format!("{} bars held, {} missed", count(true), count(false))
    }

    fn configurations(&self) -> String {
        let (mut text, mut shown) = (String::new(), BTreeSet::new());
        for configuration in &self.configurations {
            text += &format!("\n--- {}: {}\n", configuration.name, without_folders(&configuration.command));
            let shape = shape(&configuration.text);
            // They mostly differ in ports alone.
            text += if shown.insert(shape.clone()) { &shape } else { "(as above)\n" };
        }
        text
    }
}

impl Section {
    pub(crate) fn of_lines(figures: Vec<Figure>) -> Section {
        Section::new(Layout::Lines, "", vec![figures])
    }

    pub(crate) fn new(layout: Layout, corner: impl Into<String>, groups: Vec<Vec<Figure>>) -> Section {
        let [name, title, about] = [const { String::new() }; 3];
        Section { name, title, about, layout, corner: corner.into(), groups, notes: Vec::new() }
    }

    pub(crate) fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.groups.iter().flatten()
    }

    fn heading(&self) -> String {
        let name = match (self.name.as_str(), self.title.as_str()) {
            ("", "") => String::new(),
            (name, "") => format!("{name}\n"),
            (name, title) => format!("{name} — {title}\n"),
        };
        let about = if self.about.is_empty() { String::new() } else { format!("{}\n", self.about) };
        if name.is_empty() && about.is_empty() { name } else { format!("{name}{about}\n") }
    }

    /// The table and the notes.
    pub(crate) fn body(&self) -> String {
        let table = match self.layout {
            Layout::Lines => self.lines(),
            Layout::Rows => self.grid(|figure| (&figure.of, &figure.what)),
            Layout::Columns => self.grid(|figure| (&figure.what, &figure.of)),
        };
        let notes: String = self.notes.iter().map(|line| format!("{line}\n")).collect();
        table.render() + if notes.is_empty() { "" } else { "\n" } + &notes
    }

    /// In rows the median alone, or a line would be too long; a bar tells the rest.
    fn cell(&self, figure: &Figure) -> String {
        match (self.layout, figure.held) {
            (_, Some(_)) => format!("{} {}", figure.text(), figure.verdict()),
            (Layout::Rows, None) => figure.median().map_or_else(|| "–".to_owned(), |median| figure.unit.text(median)),
            _ => figure.text(),
        }
    }

    fn lines(&self) -> Table {
        let mut table = Table::default();
        let reaches = self.figures().any(|figure| figure.reach.is_some());
        let head = ["seen", "bar", "", "reach"].map(str::to_owned);
        table.row(&self.corner, head.into_iter().take(if reaches { 4 } else { 3 }));
        for figures in &self.groups {
            let mut of = "";
            for figure in figures {
                if figure.of != of {
                    of = &figure.of;
                    table.gap();
                    table.row(of, []);
                }
                let cells =
                    [figure.text_with_unit(), figure.bar_text(), figure.verdict().to_owned(), figure.reach_text()];
                table.row(format!("  {}", figure.what), cells.into_iter().take(if reaches { 4 } else { 3 }));
            }
        }
        table
    }

    /// `place`: row and column of a figure. What nobody has a figure for is no row.
    fn grid(&self, place: impl Fn(&Figure) -> (&String, &String)) -> Table {
        let mut table = Table::default();
        let mut columns: Vec<&String> = Vec::new();
        for figure in self.figures() {
            let column = place(figure).1;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        table.row(&self.corner, columns.iter().map(|column| (*column).clone()));
        for (nth, figures) in self.groups.iter().enumerate() {
            let mut rows: Vec<&String> = Vec::new();
            for figure in figures.iter().filter(|figure| !figure.rounds.is_empty()) {
                if !rows.contains(&place(figure).0) {
                    rows.push(place(figure).0);
                }
            }
            if nth > 0 && !rows.is_empty() {
                table.gap();
            }
            for row in rows {
                let cell = |column: &&String| {
                    let found = figures.iter().find(|figure| place(figure) == (row, *column));
                    found.map_or_else(|| "–".to_owned(), |figure| self.cell(figure))
                };
                table.row(row, columns.iter().map(cell));
            }
        }
        table
    }
}

/// A command line with the names of files only: where they lie on this machine helps nobody.
pub(crate) fn without_folders(command: &str) -> String {
    let name = |word: &str| match word.rsplit_once('/') {
        Some((folder, name)) if folder.starts_with('/') && !name.is_empty() => name.to_owned(),
        _ => word.to_owned(),
    };
    command.split(' ').map(name).collect::<Vec<_>>().join(" ")
}

/// A configuration with PORT for the ports and FOLDER for the run's own folder.
fn shape(text: &str) -> String {
    let scratch = std::env::temp_dir().join("bench-").to_string_lossy().into_owned();
    let rest_of =
        |rest: &str, ends: fn(char) -> bool| rest.find(ends).map_or(String::new(), |end| rest[end..].to_owned());
    let mut shape = String::new();
    for (nth, piece) in text.split("127.0.0.1:").enumerate() {
        let piece = if nth == 0 { piece.to_owned() } else { rest_of(piece, |c| !c.is_ascii_digit()) };
        shape += &format!("{}{piece}", if nth == 0 { "" } else { "127.0.0.1:PORT" });
    }
    let mut pieces = shape.split(&scratch);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + "FOLDER" + &rest_of(piece, |c| c == '/'))
}

#[cfg(test)]
mod tests {
    use super::figure::{Bar, Unit};
    use super::*;

    fn figures() -> Vec<Figure> {
        let figure = |of, what, rounds: &[f64]| Figure::of_rounds(of, what, Unit::Number, rounds.to_vec());
        vec![
            figure("direct", "50 %", &[3.0]),
            figure("nginx", "50 %", &[4.0, 5.0, 6.0]),
            figure("nginx", "cpu", &[12.5]),
        ]
    }

    #[test]
    fn figures_stand_in_columns_or_rows() {
        let groups = vec![figures(), vec![Figure::of_rounds("direct", "nobody's", Unit::Count, Vec::new())]];
        let section = Section::new(Layout::Columns, "ab, ms", groups);
        assert_eq!(
            section.body(),
            "ab, ms   direct              nginx\n50 %       3.00   5.00 (4.00–6.00)\ncpu           –               12.5\n"
        );
        let section = Section::new(Layout::Rows, "", vec![figures()]);
        assert_eq!(section.body(), "         50 %    cpu\ndirect   3.00      –\nnginx    5.00   12.5\n");
    }

    #[test]
    fn lines_have_their_bars_and_a_report_counts_them() {
        let time = Figure::seen("ready again", 71.6, Unit::Milliseconds).barred(Bar::Below(150.0));
        let lines = [Figure::count("GETs", 1_000), Figure::never("GETs failed", 2), time];
        let mut section = Section::of_lines(lines.into_iter().map(|figure| figure.of("kill × built-in")).collect());
        section.notes.push("a note".to_owned());
        let report = Report::of(vec!["head".to_owned()], section);
        let expected = "head\n\n                      seen        bar\n\nkill × built-in\n  GETs                  \
             1,000\n  GETs failed               2          0   MISSED\n  ready again         71.6 ms   < 150 ms     held\n\na note\n";
        assert_eq!(
            report.text().split_whitespace().collect::<Vec<_>>(),
            expected.split_whitespace().collect::<Vec<_>>()
        );
        assert_eq!((report.bars().as_str(), report.sound), ("1 bars held, 1 missed", false));
    }

    #[test]
    fn what_differs_from_run_to_run_is_named_instead() {
        let folder = std::env::temp_dir().join("bench-12-3");
        let text = format!("listen = \"127.0.0.1:40001\"\npath = \"{}/a.log\"\n", folder.display());
        assert_eq!(shape(&text), "listen = \"127.0.0.1:PORT\"\npath = \"FOLDER/a.log\"\n");
        assert_eq!(without_folders("taskset -c 0 /usr/sbin/nginx -p /tmp/bench-1"), "taskset -c 0 nginx -p bench-1");
    }
}
