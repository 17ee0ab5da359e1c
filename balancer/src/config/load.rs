//! A file or a text → a [`Config`], or all its mistakes. Decides in which order that is done, and what is no configuration at all;
//! called by whoever has a path or a text; never reads a key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::syntax::diagnostics::Diagnostics;
use super::syntax::findings::Findings;
use super::syntax::{document, text, variables};
use super::tables::admin::Secrets;
use super::top;
use super::top::Config;

/// The configuration in the file at `path`.
///
/// # Errors
///
/// The file cannot be read, holds nothing, or has mistakes.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    load_with(path, Secrets::Checked)
}

/// The same for the instance that runs with it: the token of the admin service is not looked for, which may be root's alone
/// and counts at the start.
///
/// # Errors
///
/// As for [`load`].
pub fn load_again(path: &Path) -> Result<Config, LoadError> {
    load_with(path, Secrets::Unread)
}

fn load_with(path: &Path, secrets: Secrets) -> Result<Config, LoadError> {
    let text = text::read(path).map_err(|cause| LoadError::Unreadable { path: path.to_owned(), cause })?;
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Err(LoadError::Empty { path: path.to_owned() });
    }
    parse_with(&text, &path.display().to_string(), secrets).map_err(LoadError::Mistakes)
}

/// The configuration `text` holds; `origin` is the name its mistakes are reported under. Looks at the machine where a
/// value names a part of it: accounts, directories, environment files.
///
/// # Errors
///
/// Every mistake, in the order of their places.
pub fn parse(text: &str, origin: &str) -> Result<Config, Diagnostics> {
    parse_with(text, origin, Secrets::Checked)
}

fn parse_with(text: &str, origin: &str, secrets: Secrets) -> Result<Config, Diagnostics> {
    let findings = Findings::default();
    let mut tree = document::read(text, &findings);
    variables::fill_in(&mut tree, text, &findings, &|name| std::env::var_os(name));
    let config = top::read(&tree, &findings, secrets);
    match findings.into_mistakes(text, top::keys) {
        mistakes if mistakes.is_empty() => Ok(config),
        mistakes => Err(Diagnostics::new(origin, text, mistakes)),
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read as text.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file holds nothing but comments.
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file has mistakes.
    Mistakes(Diagnostics),
}

impl LoadError {
    /// As [`Display`](fmt::Display), in colour if wanted.
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Unreadable { path, cause } => format!("cannot read {}: {cause}", path.display()),
            Self::Empty { path } => format!("{} is empty. {NEEDED}", path.display()),
            Self::Mistakes(diagnostics) => diagnostics.render(color),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { cause, .. } => Some(cause),
            Self::Empty { .. } => None,
            Self::Mistakes(diagnostics) => Some(diagnostics),
        }
    }
}

/// What an empty file is answered with.
const NEEDED: &str = "\
A configuration needs two things, where clients connect and a pool to pass their requests to:

listen = \"127.0.0.1:8080\"

[pool.app.workers]
command = [\"julia\", \"server.jl\", \"{port}\"]
count = 2";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn error_of(name: &str, bytes: &[u8]) -> String {
        let directory = std::env::temp_dir().join(format!("balancer-load-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        let error = load(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        error.replace(&directory.display().to_string(), "/etc")
    }

    #[test]
    fn a_file_that_is_not_there_is_named_with_the_cause() {
        let error = load(Path::new("/nowhere/lb.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/lb.toml: No such file or directory (os error 2)");
        assert_eq!(load(Path::new("/")).unwrap_err().to_string(), "cannot read /: Is a directory (os error 21)");
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read_to_its_end() {
        let error = load(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "cannot read /dev/zero: it is a pipe or a device, not a regular file");
        let error = error_of("large.toml", &[b'#'; (1 << 20) + 1]);
        assert_eq!(error, "cannot read /etc/large.toml: it has more than 1 MiB");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_by_their_place() {
        let error = error_of("bytes.toml", b"# \xc3\xa9\nlisten = \"\xff\"");
        assert_eq!(error, "cannot read /etc/bytes.toml: not UTF-8 text: line 2, column 11");
    }

    #[test]
    fn an_empty_file_is_answered_with_one_that_works() {
        for (name, text) in [("empty.toml", ""), ("comments.toml", "\n  # listen = 1\n\t\n")] {
            let error = error_of(name, text.as_bytes());
            assert!(error.starts_with(&format!("/etc/{name} is empty. A configuration needs two things")), "{error}");
        }
        let (_, example) = NEEDED.split_once(":\n\n").unwrap();
        assert_eq!(example.lines().filter(|line| !line.is_empty()).count(), 4);
        crate::config::parse(example, "example").unwrap();
    }

    #[test]
    fn the_mistakes_of_a_file_are_reported_under_its_path() {
        let error = error_of("wrong.toml", b"listen = 1\n[pool.a]\nendpoints = [\"a:1\"]\n");
        assert!(error.contains("--> /etc/wrong.toml:1:10"), "{error}");
        assert!(error.ends_with("/etc/wrong.toml: 1 mistake"), "{error}");
    }
}
