//! Which revision the working tree is compared with.
//!
//! Decides the base. Called by [`super::guard`]. Never changes the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::programs;

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
    /// # Errors
    /// git is missing, or the folder belongs to no repository.
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

    /// Runs git and returns what it printed, without the end of the line.
    ///
    /// # Errors
    /// [`Failure::Target`] with what git said.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new(&self.git);
        command.current_dir(&self.top).args(arguments).stdin(std::process::Stdio::null());
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    /// A repository on `main` with one commit.
    pub(in crate::guard) fn repository() -> (Scratch, Repository) {
        let scratch = Scratch::create().unwrap();
        let git = programs::find("git").unwrap();
        let repository = Repository { git, top: scratch.path().to_owned() };
        repository.ask(&["init", "--quiet", "--initial-branch=main"]).unwrap();
        for (key, value) in
            [("user.name", "Somebody"), ("user.email", "somebody@example.com"), ("commit.gpgsign", "false")]
        {
            repository.ask(&["config", key, value]).unwrap();
        }
        commit(&repository, "one");
        (scratch, repository)
    }

    fn commit(repository: &Repository, text: &str) {
        fs::write(repository.top.join("file"), text).unwrap();
        repository.ask(&["add", "file"]).unwrap();
        repository.ask(&["commit", "--quiet", "-m", text]).unwrap();
    }

    fn base(repository: &Repository) -> String {
        repository.base(None).map_or_else(|failure| failure.to_string(), |found| found.subject)
    }

    #[test]
    fn on_main_changes_are_compared_with_head_and_head_with_its_parent() {
        let (_scratch, repository) = repository();
        assert!(base(&repository).starts_with("HEAD~1 names no commit of "), "{}", base(&repository));
        commit(&repository, "two");
        assert_eq!(base(&repository), "one");
        fs::write(repository.top.join("file"), "changed").unwrap();
        assert_eq!(base(&repository), "two");
        assert!(repository.tree().unwrap().ends_with(" two, and what is not committed"));
    }

    #[test]
    fn a_branch_is_compared_with_where_it_left_main() {
        let (_scratch, repository) = repository();
        commit(&repository, "two");
        repository.ask(&["checkout", "--quiet", "-b", "branch"]).unwrap();
        commit(&repository, "three");
        commit(&repository, "four");
        assert_eq!(base(&repository), "two");
        fs::write(repository.top.join("file"), "changed").unwrap();
        assert_eq!(base(&repository), "two");
        assert_eq!(repository.base(Some("HEAD~1")).unwrap().subject, "three");
    }

    #[test]
    fn a_revision_that_is_not_there_is_named() {
        let (_scratch, repository) = repository();
        for name in ["no-such-branch", "", "--all", "HEAD:file", "main extra"] {
            let text = repository.base(Some(name)).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{name} names no commit of ")), "{name}: {text}");
        }
    }

    #[test]
    fn a_folder_outside_any_repository_is_named() {
        let scratch = Scratch::create().unwrap();
        let text = Repository::find(scratch.path()).err().unwrap().to_string();
        let expected = format!("{} is in no git repository", scratch.path().display());
        assert!(text.starts_with(&expected), "{text}");
    }
}
