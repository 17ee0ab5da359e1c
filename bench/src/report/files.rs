//! The result in files.
//!
//! Decides their names and that none is ever half there: each is written beside its place and renamed when all are. Called by
//! `main`, before anything is measured and when everything is. Never leaves a part behind.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Report, page};
use crate::failure::Failure;

/// Where everything is written.
pub(crate) struct Output {
    json: PathBuf,
    csv: PathBuf,
    page: Option<PathBuf>,
    /// A folder, and the first part of the names in it.
    pictures: (PathBuf, String),
}

impl Output {
    /// `NAME.json`, `NAME.csv` and `NAME-PICTURE.svg`. Can they be written? Better asked before minutes of measuring than
    /// after.
    pub(crate) fn named(folder: &Path, name: &str) -> Result<Output, Failure> {
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        Output { json: file("json"), csv: file("csv"), page: None, pictures: (folder.to_owned(), format!("{name}-")) }
            .checked(folder)
    }

    /// The same for a comparison, with a page of Markdown; page and figures may go elsewhere, the pictures go beside the page.
    pub(crate) fn paged(
        folder: &Path,
        [name, page, prefix]: [&str; 3],
        results: Option<&Path>,
        json: Option<&Path>,
    ) -> Result<Output, Failure> {
        let or = |given: Option<&Path>, name: &str| given.map_or_else(|| folder.join(name), Path::to_owned);
        let page = or(results, page);
        let pictures = (page.with_file_name(page::PICTURES), prefix.to_owned());
        let [json, csv] = [or(json, &format!("{name}.json")), folder.join(format!("{name}.csv"))];
        Output { json, csv, page: Some(page), pictures }.checked(folder)
    }

    fn checked(self, folder: &Path) -> Result<Output, Failure> {
        fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, e))?;
        for path in [&self.json, &self.csv].into_iter().chain(&self.page) {
            if path.is_dir() {
                return Err(Failure::file("write", path, std::io::ErrorKind::IsADirectory.into()));
            }
            drop(Part::write(path, b"")?);
        }
        Ok(self)
    }

    /// Writes all of it; where it is.
    pub(crate) fn write(&self, report: &Report) -> Result<Vec<PathBuf>, Failure> {
        let json = serde_json::to_string_pretty(report);
        let json = json.map_err(|e| Failure::file("write", &self.json, e.into()))? + "\n";
        let mut files = vec![(self.csv.clone(), csv(report)?), (self.json.clone(), json.into_bytes())];
        let (folder, prefix) = &self.pictures;
        if !report.drawings.is_empty() {
            fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, e))?;
        }
        for drawing in &report.drawings {
            files.push((folder.join(format!("{prefix}{}.svg", drawing.name)), drawing.svg.clone().into_bytes()));
        }
        // Last, for it shows the pictures.
        let page = || report.page.clone().unwrap_or_else(|| page::page(report));
        files.extend(self.page.iter().map(|path| (path.clone(), page().into_bytes())));
        let parts = files.iter().map(|(path, bytes)| Part::write(path, bytes)).collect::<Result<Vec<_>, _>>()?;
        parts.into_iter().try_for_each(Part::rename)?;
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }
}

/// Writes a file under a passing name first: who looks meanwhile sees the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Part::write(path, bytes)?.rename()
}

/// Every value of every round in a line, for spreadsheets; never rounded.
fn csv(report: &Report) -> Result<Vec<u8>, Failure> {
    let failed = |e: csv::Error| Failure::system("write the figures as CSV", std::io::Error::other(e));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["section", "of", "what", "unit", "round", "value", "bar", "held"]).map_err(failed)?;
    for section in &report.sections {
        for figure in section.figures() {
            let unit = serde_json::to_value(figure.unit).ok().and_then(|unit| unit.as_str().map(str::to_owned));
            let held = figure.held.map_or_else(String::new, |held| held.to_string());
            for (nth, value) in figure.rounds.iter().enumerate() {
                let [round, value] = [(nth + 1).to_string(), value.to_string()];
                let (unit, bar) = (unit.as_deref().unwrap_or_default(), figure.bar_text());
                let cells = [&section.name, &figure.of, figure.what.trim(), unit, &round, &value, &bar, &held];
                writer.write_record(cells).map_err(failed)?;
            }
        }
    }
    writer.into_inner().map_err(|e| failed(e.into_error().into()))
}

/// A file under a passing name in the same folder, or the rename would be a copy; removed where it was not renamed.
struct Part<'a> {
    path: &'a Path,
    passing: PathBuf,
}

impl Part<'_> {
    fn write<'a>(path: &'a Path, bytes: &[u8]) -> Result<Part<'a>, Failure> {
        let part = Part { path, passing: path.with_added_extension(format!("{}.tmp", std::process::id())) };
        fs::write(&part.passing, bytes).map_err(|e| Failure::file("write", path, e))?;
        Ok(part)
    }

    fn rename(self) -> Result<(), Failure> {
        fs::rename(&self.passing, self.path).map_err(|e| Failure::file("write", self.path, e))
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        // Renamed, there is none.
        let _ = fs::remove_file(&self.passing);
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::{Figure, Unit};
    use super::super::{Layout, Section};
    use super::*;
    use crate::plot::Drawing;
    use crate::scratch::Scratch;

    fn report() -> Report {
        let figures = vec![Figure::of_rounds("balancer, log", "  user", Unit::Microseconds, vec![1.5, 2.25])];
        let mut report = Report::of(Vec::new(), Section::new(Layout::Columns, "", vec![figures]));
        report.drawings = vec![Drawing { name: "cpu".to_owned(), caption: "CPU".to_owned(), svg: "<svg/>".to_owned() }];
        report
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_appear_whole_and_nothing_else() {
        let scratch = Scratch::create().unwrap();
        let written = Output::named(scratch.path(), "attack").unwrap().write(&report()).unwrap();
        assert_eq!(names(scratch.path()), ["attack-cpu.svg", "attack.csv", "attack.json"]);
        let head = "section,of,what,unit,round,value,bar,held\n";
        let lines = ",\"balancer, log\",user,microseconds,1,1.5,,\n,\"balancer, log\",user,microseconds,2,2.25,,\n";
        assert_eq!(fs::read_to_string(&written[0]).unwrap(), format!("{head}{lines}"));
    }

    #[test]
    fn a_failure_leaves_the_earlier_files_whole_and_no_parts() {
        let scratch = Scratch::create().unwrap();
        scratch.write("RESULTS.md", "old").unwrap();
        let mut output = Output::paged(scratch.path(), ["results", "RESULTS.md", ""], None, None).unwrap();
        output.json = scratch.path().join("no/such/r.json");
        let text = output.write(&report()).unwrap_err().to_string();
        assert!(text.starts_with("cannot write ") && text.contains("No such file"), "{text}");
        assert_eq!(names(scratch.path()), ["RESULTS.md", "pictures"]);
        assert_eq!(fs::read_to_string(scratch.path().join("RESULTS.md")).unwrap(), "old");
    }
}
