//! The result in files.
//!
//! Decides where they go and that none is ever half there: each is written beside its place and renamed. Called by `main`,
//! before anything is measured and when everything is. Never knows what is in them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::arguments::Plan;
use crate::failure::Failure;
use crate::pictures::Drawing;

/// Where everything is written.
pub(crate) struct Output {
    folder: PathBuf,
    results: PathBuf,
    json: PathBuf,
}

impl Output {
    /// Can the files be written? Better asked before minutes of measuring than after.
    ///
    /// # Errors
    /// A folder cannot be made or a file not written there.
    pub(crate) fn check(plan: &Plan) -> Result<Output, Failure> {
        fs::create_dir_all(&plan.output).map_err(|e| Failure::file("create", &plan.output, e))?;
        let beside = |name: &str| plan.output.join(name);
        let output = Output {
            folder: plan.output.clone(),
            results: plan.results.clone().unwrap_or_else(|| beside("RESULTS.md")),
            json: plan.json.clone().unwrap_or_else(|| beside("results.json")),
        };
        for path in [&output.results, &output.json, &beside("results.csv")] {
            let part = part(path);
            let written = File::create(&part).map_err(|e| Failure::file("write", path, e));
            written.and_then(|_| fs::remove_file(&part).map_err(|e| Failure::file("remove", &part, e)))?;
            if path.is_dir() {
                return Err(Failure::file("write", path, std::io::ErrorKind::IsADirectory.into()));
            }
        }
        Ok(output)
    }

    /// Writes all of it. Everything is on the disk before the first file appears under its name.
    ///
    /// # Errors
    /// The disk is full, or somebody changed the folder meanwhile; files of an earlier run are then still whole.
    pub(crate) fn write(
        &self,
        page: &str,
        json: &str,
        csv: &str,
        drawings: &[Drawing],
    ) -> Result<Vec<PathBuf>, Failure> {
        let csv_path = self.folder.join("results.csv");
        let files = [(&self.results, page), (&self.json, json), (&csv_path, csv)];
        let mut parts = Parts(Vec::new());
        for (path, text) in files {
            let part = part(path);
            parts.0.push(part.clone());
            let written = File::create(&part).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
            written.map_err(|e| Failure::file("write", path, e))?;
        }
        // Before the page that shows them.
        let folder = self.results.with_file_name(PICTURES);
        if !drawings.is_empty() {
            fs::create_dir_all(&folder).map_err(|e| Failure::file("create", &folder, e))?;
        }
        let mut written = Vec::new();
        for drawing in drawings {
            written.extend(drawing.picture.write(&folder, &drawing.name)?);
        }
        for ((path, _), part) in files.iter().zip(&parts.0) {
            fs::rename(part, path).map_err(|e| Failure::file("write", path, e))?;
        }
        written.extend(files.iter().map(|(path, _)| path.to_path_buf()));
        Ok(written)
    }
}

/// The pictures' folder, beside the page.
pub(crate) const PICTURES: &str = "pictures";

/// Removed where they were not renamed.
struct Parts(Vec<PathBuf>);

impl Drop for Parts {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| _ = fs::remove_file(path));
    }
}

/// In the same folder, or the rename would be a copy.
fn part(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn output(folder: &Path) -> Output {
        Output { folder: folder.into(), results: folder.join("R.md"), json: folder.join("r.json") }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_appear_and_nothing_else() {
        let scratch = Scratch::create().unwrap();
        scratch.write("R.md", "old").unwrap();
        let written = output(scratch.path()).write("page", "{}", "a,b", &[]).unwrap();
        assert_eq!(names(scratch.path()), ["R.md", "r.json", "results.csv"]);
        assert_eq!(fs::read_to_string(&written[0]).unwrap(), "page");
    }

    #[test]
    fn a_failure_leaves_the_earlier_files_whole_and_no_parts() {
        let scratch = Scratch::create().unwrap();
        scratch.write("R.md", "old").unwrap();
        let mut output = output(scratch.path());
        output.json = scratch.path().join("no/such/r.json");
        let text = output.write("page", "{}", "a,b", &[]).unwrap_err().to_string();
        assert!(text.starts_with("cannot write ") && text.contains("No such file"), "{text}");
        assert_eq!(names(scratch.path()), ["R.md"]);
        assert_eq!(fs::read_to_string(scratch.path().join("R.md")).unwrap(), "old");
    }
}
