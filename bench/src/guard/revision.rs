//! Which revision the working tree is compared with, and its source checked out beside ours.
//!
//! Decides the base, the place of its checkout, and that it goes away again. Called by [`super::guard`]. Never touches the
//! user's own checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{failure::Failure, programs};

/// The repository one stands in.
pub(super) struct Repository {
    git: PathBuf,
    /// The top folder of its working tree.
    pub(super) top: PathBuf,
}

/// A revision that is there.
#[derive(Debug)]
pub(super) struct Revision {
    pub(super) commit: String,
    pub(super) short: String,
    pub(super) subject: String,
    /// Why this one, in words.
    pub(super) why: String,
}

impl Repository {
    pub(super) fn find(folder: &Path) -> Result<Repository, Failure> {
        let git = programs::find("git");
        let git = git.ok_or_else(|| Failure::Missing("missing: git. Install with: apt-get install git".to_owned()))?;
        let mut repository = Repository { git, top: folder.to_owned() };
        let top = repository.ask(&["rev-parse", "--show-toplevel"]).map_err(|_| {
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let what = "is in no git repository with a working tree: guard compares with an earlier revision of one";
            Failure::Missing(format!("{} {what}", folder.display()))
        })?;
        repository.top = PathBuf::from(top);
        Ok(repository)
    }

    /// The revision asked for; else where this branch left `main`. On `main` that would be HEAD itself, so then what is not
    /// committed is compared with HEAD, and what is committed with the commit before.
    pub(super) fn base(&self, asked: Option<&str>) -> Result<Revision, Failure> {
        if let Some(name) = asked {
            return self.revision(name, format!("--base {name}"));
        }
        let head = self
            .ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
            .map_err(|_| Failure::Missing(format!("{} has no commit yet to compare with", self.top.display())))?;
        let left = ["main", "origin/main"].iter().find_map(|main| self.ask(&["merge-base", "HEAD", main]).ok());
        match left.filter(|commit| *commit != head) {
            Some(commit) => self.revision(&commit, "where this branch left main".to_owned()),
            None if self.is_changed()? => self.revision("HEAD", "HEAD, for files are changed".to_owned()),
            None => self.revision("HEAD~1", "HEAD~1, for no file is changed".to_owned()),
        }
    }

    /// The working tree in words.
    pub(super) fn tree(&self) -> Result<String, Failure> {
        let head = self.ask(&["log", "-1", "--format=%h %s"])?;
        Ok(if self.is_changed()? { format!("{head}, and what is not committed") } else { head })
    }

    /// Checks `commit` out at `path`, in place of what a killed run left there.
    pub(super) fn check_out(&self, commit: &str, path: &Path) -> Result<Checkout<'_>, Failure> {
        let checkout = Checkout { repository: self, path: path.to_owned() };
        checkout.remove();
        self.ask(&["worktree", "add", "--force", "--detach", "--quiet", &path.to_string_lossy(), commit])?;
        Ok(checkout)
    }

    /// Runs git and returns what it printed, without the end of the line.
    fn ask(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new(&self.git);
        command.current_dir(&self.top).args(arguments).stdin(Stdio::null());
        // Ctrl-C on the terminal is for us; git is to finish what it does.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let output = command.output().map_err(|e| Failure::file("start", &self.git, e))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::Target { name: format!("git {}", arguments.join(" ")), what: "failed".to_owned(), stderr })
    }

    fn revision(&self, name: &str, why: String) -> Result<Revision, Failure> {
        // A name that begins with a dash would be an option to git.
        let found = self.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]);
        let commit = found.map_err(|_| {
            Failure::Missing(format!("{name} names no commit of {}; give another with --base", self.top.display()))
        })?;
        // git 2.30 prints the option itself too.
        let commit = commit.lines().last().unwrap_or_default().to_owned();
        let line = self.ask(&["log", "-1", "--format=%h %s", &commit])?;
        let (short, subject) = line.split_once(' ').unwrap_or((&line, ""));
        Ok(Revision { short: short.to_owned(), subject: subject.to_owned(), commit, why })
    }

    fn is_changed(&self) -> Result<bool, Failure> {
        Ok(!self.ask(&["status", "--porcelain", "--untracked-files=normal"])?.is_empty())
    }
}

/// A base's source, removed on drop.
pub(super) struct Checkout<'a> {
    repository: &'a Repository,
    pub(super) path: PathBuf,
}

impl Checkout<'_> {
    fn remove(&self) {
        // Twice --force: a killed run may have left it locked. Where there is none, git complains and nothing is lost.
        let _ = self.repository.ask(&["worktree", "remove", "--force", "--force", &self.path.to_string_lossy()]);
        let _ = std::fs::remove_dir_all(&self.path);
        let _ = self.repository.ask(&["worktree", "prune"]);
    }
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    /// A repository on `main` with one commit.
    fn repository() -> (Scratch, Repository) {
        let scratch = Scratch::create().unwrap();
        let repository = Repository { git: programs::find("git").unwrap(), top: scratch.path().to_owned() };
        repository.ask(&["init", "--quiet", "--initial-branch=main"]).unwrap();
        for (key, value) in [("name", "Somebody"), ("email", "somebody@example.com")] {
            repository.ask(&["config", &format!("user.{key}"), value]).unwrap();
        }
        commit(&repository, "one");
        (scratch, repository)
    }

    fn commit(repository: &Repository, text: &str) {
        fs::write(repository.top.join("file"), text).unwrap();
        repository.ask(&["add", "file"]).unwrap();
        repository.ask(&["-c", "commit.gpgsign=false", "commit", "--quiet", "-m", text]).unwrap();
    }

    #[test]
    fn the_base_is_where_a_branch_left_main_and_on_main_head_or_its_parent() {
        let (_scratch, repository) = repository();
        let base = || repository.base(None).map_or_else(|failure| failure.to_string(), |found| found.subject);
        assert!(base().starts_with("HEAD~1 names no commit of "), "{}", base());
        commit(&repository, "two");
        assert_eq!(base(), "one");
        fs::write(repository.top.join("file"), "changed").unwrap();
        assert_eq!(base(), "two");
        assert!(repository.tree().unwrap().ends_with(" two, and what is not committed"));
        repository.ask(&["checkout", "--quiet", "-b", "branch"]).unwrap();
        commit(&repository, "three");
        commit(&repository, "four");
        assert_eq!((base().as_str(), repository.base(Some("HEAD~1")).unwrap().subject.as_str()), ("two", "three"));
        for name in ["no-such-branch", "", "--all", "HEAD:file", "main extra"] {
            let text = repository.base(Some(name)).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{name} names no commit of ")), "{name}: {text}");
        }
    }

    #[test]
    fn a_checkout_goes_away_and_replaces_what_was_left_behind() {
        let (_scratch, repository) = repository();
        let path = repository.top.join("target/guard/checkout");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("left behind"), "").unwrap();
        let checkout = repository.check_out("HEAD", &path).unwrap();
        assert_eq!(fs::read_to_string(checkout.path.join("file")).unwrap(), "one");
        assert!(!path.join("left behind").exists());
        // A run that was killed leaves its checkout; the next one takes its place.
        std::mem::forget(checkout);
        drop(repository.check_out("HEAD", &path).unwrap());
        assert!(!path.exists());
        let text = repository.check_out("no-such-commit", &path).err().unwrap().to_string();
        assert!(text.starts_with("git worktree add ") && text.contains("no-such-commit") && !path.exists(), "{text}");
    }
}
