//! How a file is told from what it was. Called by `app`, which looks at the files of certificates again and again. Never reads one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::CertificateFiles;

/// Device, number, size, and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print(u64, u64, u64, i64, i64);

impl Print {
    /// Of what is there now; `None` where nothing is.
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self(found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
    }

    /// Of the file of a certificate and of that of its key.
    pub fn of_both(files: &CertificateFiles) -> [Option<Self>; 2] {
        [&files.certificate, &files.key].map(|path| Self::of(path))
    }
}
