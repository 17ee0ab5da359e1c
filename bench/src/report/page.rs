//! The result as a page of Markdown.
//!
//! Decides what a reader who was not there needs: how it was measured, the bars with ratios first, then every table with its
//! warnings, then what everybody was started with. Called by `main`. Never claims an absolute figure.

use super::{bars_rows, body, configurations, rounds, without_folders};
use crate::compare::Comparison;
use crate::output::PICTURES;
use crate::pictures::Drawing;

/// The whole page.
pub(crate) fn page(comparison: &Comparison, drawings: &[Drawing]) -> String {
    let machine = &comparison.machine;
    let command = without_folders(&comparison.command);
    let mut text = format!(
        "# Results\n\n\
         Made by `cargo run --release -p bench -- {command}` on {} (UTC); made again, it is replaced.\n\n\
         Ratios are what carries over to another machine: both sides of one ran in the same minute. The absolute figures in \
         the tables are those of this machine and this hour. How to read them is in `bench/README.md`.\n\n",
        machine.date
    );
    text += &format!("- {}, {} usable cores, Linux {}\n", machine.cpu, machine.cores, machine.kernel);
    text += &format!("- cores: {}\n- {}", comparison.placement, rounds(comparison));
    comparison.notes.iter().for_each(|note| text += &format!("- {note}\n"));
    text += "\n```text\n";
    machine.versions.iter().for_each(|version| text += &format!("{version}\n"));
    text += "```\n";
    if !comparison.bars.is_empty() {
        text += "\n## Bars\n\n| | measured | bar | | reach | scenario |\n|---|---|---|---|---|---|\n";
        for [what, measured, bar, verdict, reach, scenario] in bars_rows(&comparison.bars) {
            let verdict = if verdict == "MISSED" { "**missed**".to_owned() } else { verdict };
            text += &format!("| {what} | {measured} | {bar} | {verdict} | {reach} | {scenario} |\n");
        }
    }
    for Drawing { name, caption, .. } in drawings {
        text += &format!("\n![{caption}]({PICTURES}/{name}.svg)\n");
    }
    for section in &comparison.sections {
        text += &format!("\n## {}\n\n{}.\n\n", section.scenario.name(), section.title);
        text += &format!("```text\n{}\n\n{}```\n", section.load, body(comparison, section));
    }
    text + &format!("\n## Configurations\n\n```text{}```\n", configurations(comparison))
}
