//! The page of all claims.
//!
//! Decides what stands in a row: the claim, what to type, what it shows, and the figure of the claim's run. Called by
//! [`super::articles`]. Never makes a figure up: a row whose claim was not run has none.

use crate::failure::Failure;
use crate::report::Report;
use crate::report::figure::Figure;
use crate::report::page::PICTURES;

/// Article, row, claim, command, shows, claim of ours whose figure it is and the beginning of that figure's name.
type Row = [String; 7];

/// The whole page; `report` has a section for each claim that was run.
pub(super) fn page(report: &Report) -> Result<String, Failure> {
    let mut text = "# The articles, runnable\n\n\
        Made by `cargo run --release -p bench -- articles --results bench/ARTICLES.md`. A claim alone takes less than a minute: `… articles --claim models`.\n\
        Commands below begin with `cargo run --release -p bench -- `, where they do not say otherwise. A figure is of the machine and the run named here; a row without one was not run.\n"
        .to_owned();
    report.head.iter().for_each(|line| text += &format!("\n- {line}"));
    let mut article = String::new();
    for row in rows()? {
        let [of, number, claim, command, shows, ours, what] = row;
        if of != article {
            text += &format!("\n\n## {of}\n\n| | claim | type | shows | figure |\n|---|---|---|---|---|\n");
            article = of;
        }
        text += &format!("| {number} | {claim} | {command} | {shows} | {} |\n", figure(report, &ours, &what));
    }
    for section in &report.sections {
        text += &format!("\n## {}\n\n{}.\n\n", section.name, section.title);
        if report.drawings.iter().any(|drawing| drawing.name == section.name) {
            text += &format!("![{}]({PICTURES}/articles-{}.svg)\n\n", section.title, section.name);
        }
        text += "| | seen | bar | |\n|---|---|---|---|\n";
        for figure in section.figures() {
            text += &format!(
                "| {} | {} | {} | {} |\n",
                figure.what,
                figure.text_with_unit(),
                figure.bar_text(),
                figure.verdict()
            );
        }
        section.notes.iter().for_each(|note| text += &format!("\n{}\n", note.replace('\n', " ")));
    }
    Ok(text)
}

fn figure(report: &Report, claim: &str, what: &str) -> String {
    let section = report.sections.iter().find(|section| section.name == claim);
    let found = section.and_then(|section| section.figures().find(|figure| figure.what.starts_with(what)));
    let name = |figure: &Figure| format!("{}: {}", figure.what, figure.text_with_unit());
    found.map_or_else(String::new, |figure| format!("[{}](#{claim})", name(figure)))
}

fn rows() -> Result<Vec<Row>, Failure> {
    let broken = |what: String| Failure::system("read articles.csv", std::io::Error::other(what));
    let mut reader = csv::Reader::from_reader(include_bytes!("articles.csv").as_slice());
    reader
        .records()
        .map(|row| row.map_err(|e| broken(e.to_string())))
        .map(|row| {
            let cells: Vec<String> = row?.iter().map(str::to_owned).collect();
            Row::try_from(cells).map_err(|cells| broken(format!("a row of {} cells", cells.len())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::super::Claim;
    use super::*;
    use crate::arguments::name_of;
    use crate::report::Section;

    #[test]
    fn every_row_of_the_articles_is_there_once_and_every_claim_in_a_row() {
        let rows = rows().unwrap();
        let numbers: Vec<String> = rows.iter().map(|row| row[1].clone()).collect();
        let counts = [12, 12, 17, 13, 15].iter().enumerate();
        let wanted = counts.flat_map(|(article, count)| (1..=*count).map(move |row| format!("S{article}-{row}")));
        assert_eq!(numbers, wanted.collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row[..5].iter().all(|cell| !cell.is_empty() && !cell.contains('|'))));
        for claim in Claim::value_variants().iter().map(name_of) {
            assert!(rows.iter().any(|row| row[5] == claim), "{claim} is in no row");
        }
        for row in rows.iter().filter(|row| !row[5].is_empty()) {
            assert!(Claim::from_str(&row[5], false).is_ok(), "{} is no claim", row[5]);
        }
    }

    #[test]
    fn a_row_has_the_figure_of_its_claim_where_that_was_run() {
        let seen = Figure::never("of 40 out of turn, 4 threads", 0);
        let section = Section { name: "alternation".to_owned(), ..Section::of_lines(vec![seen]) };
        let text = page(&Report::of(vec!["2 cores".to_owned()], section)).unwrap();
        assert!(text.contains("| [of 40 out of turn, 4 threads: 0](#alternation) |\n"), "{text}");
        assert!(
            text.contains("\n| of 40 out of turn, 4 threads | 0 | 0 | held |\n") && text.contains("\n- 2 cores"),
            "{text}"
        );
    }
}
