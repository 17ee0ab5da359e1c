//! What `guard` prints.
//!
//! Decides the table. Called by [`super::guard`]. Never says good or bad.

use std::fmt::Write as _;

use super::clock::Clock;
use super::instructions::Instructions;
use super::revision::Revision;
use crate::cpu::Cpu;
use crate::manner::Manner;
use crate::statistics::{Spread, three_digits, whole};
use crate::table::Table;

pub(super) fn render(
    tree: &str,
    base: &Revision,
    placement: &str,
    clocks: &[Clock],
    instructions: &[Instructions],
    note: Option<&str>,
) -> String {
    // Writing to a String does not fail, here and below.
    let mut text = String::new();
    let _ = writeln!(text, "base: {} {} ({})", base.short, base.subject, base.why);
    let _ = writeln!(text, "tree: {tree}");
    let _ = writeln!(text, "the balancer with one thread over two `backend`; {placement}\n");
    let mut table = Table::default();
    table.row("", ["base", "tree", "tree ÷ base"].map(str::to_owned));
    for clock in clocks {
        table.gap();
        table.row(clock.load.as_str(), []);
        let parts: [(&str, Part); 3] = [
            ("  CPU µs/request", Cpu::seconds),
            ("    user", |cpu| cpu.user_seconds),
            ("    system", |cpu| cpu.system_seconds),
        ];
        for (label, part) in parts {
            let side = |side: usize| spread(clock.rounds.iter().map(|pair| part(pair[side])), three_digits);
            // A clock tick may leave nothing to divide by.
            let ratios =
                clock.rounds.iter().map(|pair| part(pair[1]) / part(pair[0])).filter(|ratio| ratio.is_finite());
            table.row(label, [side(0), side(1), spread(ratios, thousandths)]);
        }
    }
    if !instructions.is_empty() {
        table.gap();
    }
    count_rows(&mut table, instructions);
    text += &table.render();
    text.push('\n');
    if let Some(rounds) = clocks.first().map(|clock| clock.rounds.len()) {
        let _ = writeln!(
            text,
            "CPU: median (min–max) of {rounds} pairs; ratios within a pair. A ratio whose own min–max holds 1 says nothing."
        );
    }
    text += &counted(instructions);
    if let Some(note) = note {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// What `instructions` prints.
pub(super) fn render_one(program: &str, placement: &str, instructions: &[Instructions]) -> String {
    let mut table = Table::default();
    count_rows(&mut table, instructions);
    let head = format!("{program}\nwith one thread over two `backend`; {placement}\n\n");
    format!("{head}{}\n{}", table.render(), counted(instructions))
}

/// A row for each manner, and one for what the access log adds to the first; two sides have a ratio.
fn count_rows(table: &mut Table, instructions: &[Instructions]) {
    let row = |each: &[f64]| {
        let mut cells: Vec<String> = each.iter().copied().map(whole).collect();
        if let [base, tree] = each {
            cells.push(if *base > 0.0 { thousandths(tree / base) } else { "–".to_owned() });
        }
        cells
    };
    if !instructions.is_empty() {
        table.row("instructions/request, user space", []);
    }
    let plain = instructions.iter().find(|count| count.manner == Manner::KeepAlive);
    for Instructions { manner, each, .. } in instructions {
        table.row(format!("  {}", manner.name()), row(each));
        if let (Manner::AccessLog, Some(plain)) = (manner, plain) {
            let line: Vec<f64> = each.iter().zip(&plain.each).map(|(with, without)| with - without).collect();
            table.row("    of which a line of the log", row(&line));
        }
    }
}

/// How it was counted; nothing where it was not.
fn counted(instructions: &[Instructions]) -> String {
    let requests = instructions.first().map(|count| whole(f64::from(count.requests)));
    requests.map_or_else(String::new, |requests| {
        format!(
            "Instructions: callgrind, all threads, over {requests} requests one after another, after a start that is not counted.\n"
        )
    })
}

fn spread(values: impl Iterator<Item = f64>, number: fn(f64) -> String) -> String {
    Spread::of(values).map_or_else(|| "–".to_owned(), |spread| spread.text(number))
}

/// "1.004": what is too small for the clock shows in instructions.
fn thousandths(value: f64) -> String {
    format!("{value:.3}")
}

/// Of a clock's reading, seconds.
type Part = fn(Cpu) -> f64;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(manner: Manner, each: &[f64]) -> Instructions {
        Instructions { manner, requests: 1_000, each: each.to_vec() }
    }

    #[test]
    fn one_program_has_no_ratio() {
        let counts = [count(Manner::KeepAlive, &[20_000.0]), count(Manner::AccessLog, &[22_000.0])];
        let text = render_one("/a/balancer", "pinned", &counts);
        let start = "/a/balancer\nwith one thread over two `backend`; pinned\n\ninstructions/request, user space\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\n    of which a line of the log      2,000\n\nInstructions: "), "{text}");
    }

    #[test]
    fn the_table_has_medians_and_ratios_within_pairs() {
        let cpu = |user_seconds, system_seconds| Cpu { user_seconds, system_seconds };
        let base =
            Revision { commit: "1".into(), short: "abc".into(), subject: "Start".into(), why: "--base v1".into() };
        let pairs =
            vec![[cpu(2.0, 8.0), cpu(3.0, 8.0)], [cpu(0.0, 20.0), cpu(2.0, 20.0)], [cpu(2.0, 8.0), cpu(4.0, 8.0)]];
        let clocks = [Clock { load: "wrk -c64".into(), rounds: pairs }];
        let counts = [count(Manner::KeepAlive, &[20_000.0, 20_100.0]), count(Manner::AccessLog, &[22_000.0, 21_100.0])];
        let text = render("def Change", &base, "pinned", &clocks, &counts, None);
        let expected = "\
base: abc Start (--base v1)
tree: def Change
the balancer with one thread over two `backend`; pinned

                                               base               tree           tree ÷ base

wrk -c64
  CPU µs/request                   10.0 (10.0–20.0)   12.0 (11.0–22.0)   1.100 (1.100–1.200)
    user                           2.00 (0.000–2.00)   3.00 (2.00–4.00)   1.750 (1.500–2.000)
    system                          8.00 (8.00–20.0)   8.00 (8.00–20.0)                 1.000

instructions/request, user space
  keep-alive, as wrk                          20,000             20,100                 1.005
  keep-alive, access log                      22,000             21,100                 0.959
    of which a line of the log                 2,000              1,000                 0.500

CPU: median (min–max) of 3 pairs; ratios within a pair. A ratio whose own min–max holds 1 says nothing.
Instructions: callgrind, all threads, over 1,000 requests one after another, after a start that is not counted.
";
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&text), words(expected), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_not_there() {
        let base = Revision { commit: "1".into(), short: "abc".into(), subject: String::new(), why: String::new() };
        let text = render("def", &base, "", &[], &[], Some("no instruction counts: apt-get install valgrind"));
        assert!(text.contains("apt-get install valgrind") && !text.contains("CPU:") && !text.contains("callgrind,"));
    }
}
