//! Results in files.
//!
//! Decides their names and that a run that cannot write them says so before it begins. Called by [`crate::supermarket`],
//! [`crate::overload`], [`crate::attack`] and [`crate::replace`]. Never knows what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;
use crate::plot::Picture;

/// A folder and the first part of every name in it.
pub(crate) struct Output {
    folder: PathBuf,
    name: &'static str,
}

impl Output {
    /// Makes the folder and tries to write there.
    pub(crate) fn check(folder: &Path, name: &'static str) -> Result<Output, Failure> {
        fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, e))?;
        let tried = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = fs::write(&tried, "").and_then(|()| fs::remove_file(&tried));
        written.map_err(|e| Failure::file("write", &tried, e))?;
        Ok(Output { folder: folder.to_owned(), name })
    }

    /// Writes figures and pictures (`NAME-PICTURE.svg`, `.png`), each whole or not at all; where they are.
    pub(crate) fn write(
        &self,
        figures: &impl Serialize,
        csv: &str,
        pictures: &[(&str, &dyn Picture)],
    ) -> Result<Vec<PathBuf>, Failure> {
        let json = self.folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(figures).map_err(|e| Failure::file("write", &json, e.into()))?;
        let csv_path = self.folder.join(format!("{}.csv", self.name));
        let mut written = Vec::new();
        for (path, text) in [(json, text + "\n"), (csv_path, csv.to_owned())] {
            crate::plot::write_whole(&path, text.as_bytes())?;
            written.push(path);
        }
        for (name, picture) in pictures {
            written.extend(picture.write(&self.folder, &format!("{}-{name}", self.name))?);
        }
        Ok(written)
    }
}
