//! The base's source, checked out beside ours.
//!
//! Decides its place and that it goes away again. Called by [`super::guard`]. Never touches the user's own checkout.

use std::path::{Path, PathBuf};

use super::revision::Repository;
use crate::failure::Failure;

/// A checkout, removed on drop.
pub(super) struct Worktree<'a> {
    repository: &'a Repository,
    path: PathBuf,
}

impl<'a> Worktree<'a> {
    /// Checks `commit` out at `path`, in place of what a killed run left there.
    pub(super) fn add(repository: &'a Repository, commit: &str, path: &Path) -> Result<Worktree<'a>, Failure> {
        let worktree = Worktree { repository, path: path.to_owned() };
        worktree.remove();
        repository.ask(&["worktree", "add", "--force", "--detach", "--quiet", &path.to_string_lossy(), commit])?;
        Ok(worktree)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn remove(&self) {
        // Twice --force: a killed run may have left it locked. Where there is none, git complains and nothing is lost.
        let _ = self.repository.ask(&["worktree", "remove", "--force", "--force", &self.path.to_string_lossy()]);
        let _ = std::fs::remove_dir_all(&self.path);
        let _ = self.repository.ask(&["worktree", "prune"]);
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::revision::tests::repository;
    use super::*;

    #[test]
    fn a_checkout_goes_away_and_replaces_what_was_left_behind() {
        let (_scratch, repository) = repository();
        let path = repository.top.join("target/guard/checkout");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("left behind"), "").unwrap();
        let worktree = Worktree::add(&repository, "HEAD", &path).unwrap();
        assert_eq!(fs::read_to_string(worktree.path().join("file")).unwrap(), "one");
        assert!(!path.join("left behind").exists());
        // A run that was killed leaves its checkout; the next one takes its place.
        std::mem::forget(worktree);
        drop(Worktree::add(&repository, "HEAD", &path).unwrap());
        assert!(!path.exists());
        assert_eq!(repository.ask(&["worktree", "list"]).unwrap().lines().count(), 1);
    }

    #[test]
    fn what_git_refuses_is_quoted() {
        let (_scratch, repository) = repository();
        let path = repository.top.join("checkout");
        let text = Worktree::add(&repository, "no-such-commit", &path).err().unwrap().to_string();
        assert!(text.starts_with("git worktree add ") && text.contains("no-such-commit"), "{text}");
        assert!(!path.exists());
    }
}
