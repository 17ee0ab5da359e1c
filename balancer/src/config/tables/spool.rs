//! `spool_dir` and `spool_max`. Decides where large bodies may wait and how much of it they may take; called by [`crate::config::top`]; never
//! makes a file.

use std::path::PathBuf;

use super::workers::directory_there;
use crate::config::syntax::section::Section;

/// Where request bodies wait that are larger than what is held in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// The directory; `None`: the service manager's `$CACHE_DIRECTORY`, if there is one.
    pub directory: Option<PathBuf>,
    /// Bytes of all bodies together; 0: none waits there.
    pub bytes_max: u64,
}

pub(in crate::config) fn read(section: &mut Section<'_>, default: Spool) -> Spool {
    let directory = section.take("spool_dir").and_then(|item| directory_there(&item));
    let bytes_max = section.take("spool_max").and_then(|item| item.size(0..=SPOOL_MAX));
    Spool { directory: directory.or(default.directory), bytes_max: bytes_max.unwrap_or(default.bytes_max) }
}

/// A disk that is larger is hardly meant for this.
const SPOOL_MAX: u64 = 1 << 44;
