//! The directory we were started in, by its path.
//!
//! Decides where a relative path leads. Called by `spawn` at every start of a worker and by `app` at every reload. Never leaves a
//! directory for one that cannot be entered.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The path that led to the working directory, links in it included: where a release is a link that is moved (`current`), the
/// directory behind it is another one later.
#[derive(Debug, Clone, Default)]
pub struct StartDirectory(Option<PathBuf>);

impl StartDirectory {
    /// Of this process, as long as it has not gone elsewhere.
    pub fn look() -> Self {
        let ours = |path: &Path| Some(path.metadata().ok()?).map(|found| (found.dev(), found.ino()));
        // Shells keep the path there; whoever else starts us may have left another's.
        let by_shell = env::var_os("PWD").map(PathBuf::from);
        let by_shell = by_shell.filter(|path| path.is_absolute() && ours(path) == ours(Path::new(".")));
        Self(by_shell.or_else(|| env::current_dir().ok()))
    }

    /// Goes where the path leads now; where that is nowhere, all stays as it is.
    pub fn return_to(&self) {
        if let Some(path) = &self.0 {
            let _ = env::set_current_dir(path);
        }
    }
}
