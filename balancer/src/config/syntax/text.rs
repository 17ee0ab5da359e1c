//! A file → its text. Decides what can be read as a configuration at all; called by whoever has a path; never looks at
//! what the text says.

use std::io;
use std::path::Path;

use super::diagnostics::LineStarts;
use crate::config::regular;

/// What stands in the file.
///
/// # Errors
/// It cannot be read, or holds no text.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = regular::read(path, BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let (line, column) = LineStarts::new(&before).position(before.len());
        let message = format!("not UTF-8 text: line {line}, column {column}");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Far above any configuration; a path to a log must not fill the memory.
const BYTES_MAX: u64 = 1 << 20;
