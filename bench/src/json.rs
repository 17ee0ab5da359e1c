//! All raw figures in a file.
//!
//! Decides its form: the [`Comparison`] as it is. Called by `main`, before the table is printed. Never rounds.

use std::fs;
use std::path::Path;

use crate::compare::Comparison;
use crate::failure::Failure;

/// Writes the comparison, indented.
pub(crate) fn write(path: &Path, comparison: &Comparison) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(comparison).map_err(|e| Failure::file("write", path, e.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(|e| Failure::file("write", path, e))
}
