//! The file of a Unix socket that we have made.
//!
//! Decides whether it is still ours. Held by whoever listens there. Never removes what somebody else has put in its place.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a socket; dropping it removes the file, unless another one has its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl SocketFile {
    /// The file that is at `path` now.
    ///
    /// # Errors
    /// There is none, or it cannot be looked at.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id(path)? })
    }

    /// Puts it at another place of the same file system, where it takes the place of what is there.
    ///
    /// # Errors
    /// It cannot be there; then it is gone.
    pub fn moved_to(mut self, path: &Path) -> io::Result<Self> {
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(self)
    }

    /// Where it was made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there still.
    pub fn is_there(&self) -> bool {
        id(&self.path).is_ok_and(|found| self.is(found))
    }

    /// Whether it is the file with that device and inode.
    pub fn is(&self, id: (u64, u64)) -> bool {
        self.id == id
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}
