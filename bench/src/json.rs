//! All raw figures in a file.
//!
//! Decides its form: the [`Comparison`] as it is. Called by `main`, before anything is measured
//! and before the table is printed. Never rounds.

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::compare::Comparison;
use crate::failure::Failure;

/// Can the file be written? Better asked before minutes of measuring than after.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    OpenOptions::new().append(true).create(true).open(path).map_err(|e| Failure::file("write", path, e))?;
    if is_new {
        // An interrupted run leaves nothing.
        fs::remove_file(path).map_err(|e| Failure::file("remove", path, e))?;
    }
    Ok(())
}

/// Writes the comparison, indented.
pub(crate) fn write(path: &Path, comparison: &Comparison) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(comparison).map_err(|e| Failure::file("write", path, e.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(|e| Failure::file("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_check_leaves_nothing_and_changes_nothing() {
        let scratch = Scratch::create().unwrap();
        let (new, old) = (scratch.path().join("new"), scratch.write("old", "kept").unwrap());
        check(&new).unwrap();
        check(&old).unwrap();
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(old).unwrap(), "kept");
        let text = check(&scratch.path().join("no/such")).unwrap_err().to_string();
        assert!(text.starts_with("cannot write ") && text.contains("No such file"), "{text}");
    }
}
