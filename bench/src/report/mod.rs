//! The result as text.
//!
//! Decides what is told in which order. Called by `main` when everything is measured. Never measures and never prints.

mod csv;
mod page;
mod tables;
mod warnings;

pub(crate) use csv::csv;
pub(crate) use page::page;

use std::collections::BTreeSet;

use crate::bars::{Bound, Judged, Verdict};
use crate::compare::{Comparison, Section};
use crate::failure::Failure;
use crate::figure::Runs;
use crate::statistics::ratio;
use crate::table::Table;

/// Head, then a table and its warnings per scenario, the bars, configurations: for a terminal.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut text = head(comparison);
    for section in &comparison.sections {
        text += &format!("\n{} — {}\n{}\n\n", section.scenario.name(), section.title, section.load);
        text += &body(comparison, section);
    }
    if !comparison.bars.is_empty() {
        text += &format!("\nBars\n\n{}", bars(&comparison.bars).render());
    }
    text + &configurations(comparison)
}

/// All raw figures, indented.
///
/// # Errors
/// None that is known: every type of it can be written.
pub(crate) fn json(comparison: &Comparison) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(comparison);
    Ok(text.map_err(|e| Failure::system("write the figures as JSON", e.into()))? + "\n")
}

/// A section's table, system calls, notes and warnings.
fn body(comparison: &Comparison, section: &Section) -> String {
    let runs = Runs { scenario: section.scenario, measurements: &comparison.measurements };
    let mut text = tables::figures(runs, section).render();
    if !section.syscalls.is_empty() {
        text += &format!("\n{}", tables::system_calls(section).render());
    }
    let said: Vec<String> = section.notes.iter().cloned().chain(warnings::of(runs, section)).collect();
    if !said.is_empty() {
        text.push('\n');
    }
    said.iter().for_each(|line| text += &format!("{line}\n"));
    text
}

fn head(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let mut text = format!("{}, {} usable cores, Linux {}\n", machine.cpu, machine.cores, machine.kernel);
    text += &format!("{} UTC, bench {}\n", machine.date, without_folders(&comparison.command));
    machine.versions.iter().for_each(|version| text += &format!("{version}\n"));
    text += &format!("cores:  {}\n", comparison.placement);
    text += &rounds(comparison);
    comparison.notes.iter().for_each(|note| text += &format!("{note}\n"));
    text
}

fn rounds(comparison: &Comparison) -> String {
    match comparison.rounds {
        1 => "one round: no spread\n".to_owned(),
        rounds => format!("{rounds} alternating rounds: median (min–max); a ratio is taken within its round\n"),
    }
}

fn bars(bars: &[Judged]) -> Table {
    let mut table = Table::default();
    table.row("", ["measured", "bar", "", "reach", "scenario"].map(str::to_owned));
    for [what, cells @ ..] in bars_rows(bars) {
        table.row(what, cells);
    }
    table
}

/// What, measured, bar, verdict, reach, scenario.
fn bars_rows(bars: &[Judged]) -> impl Iterator<Item = [String; 6]> + '_ {
    bars.iter().map(|bar| {
        let (what, verdict) = (bar.what.to_owned(), verdict(bar).to_owned());
        [what, measured(bar), limit(bar, bar.bar), verdict, limit(bar, bar.reach), bar.scenario.name()]
    })
}

fn measured(bar: &Judged) -> String {
    bar.value.map_or_else(|| "–".to_owned(), |value| value.text(ratio))
}

fn limit(bar: &Judged, limit: f64) -> String {
    // A strict bar's reach is not strict.
    let bound = if bar.bound == Bound::Below && limit != bar.bar { Bound::AtMost } else { bar.bound };
    format!("{} {}", bound.sign(), ratio(limit))
}

fn verdict(bar: &Judged) -> &'static str {
    match bar.verdict {
        Verdict::Reached => "reached",
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::NotMeasured => "not measured",
    }
}

fn configurations(comparison: &Comparison) -> String {
    let mut text = "\nStarted with\n".to_owned();
    let mut shown = BTreeSet::new();
    for section in &comparison.sections {
        text += &format!("\n{}: origin {}\n", section.scenario.name(), section.origin);
        for configuration in &section.configurations {
            text += &format!("\n{}: {}\n", configuration.name, without_folders(&configuration.command));
            let shape = shape(&configuration.text);
            // Scenarios mostly differ in ports alone.
            if shown.contains(&shape) {
                text += "  (as above)\n";
                continue;
            }
            shape.lines().for_each(|line| text += &format!("{}\n", format!("  {line}").trim_end()));
            shown.insert(shape);
        }
    }
    text
}

/// A command line with the names of files only: where they lie on this machine helps nobody.
fn without_folders(command: &str) -> String {
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
pub(crate) mod tests;
