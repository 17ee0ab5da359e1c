//! Why no figures came out.
//!
//! Decides the sentence the user reads and the exit code. Called by every file that can fail. Never prints.

use std::{fmt, io, path::Path};

/// Everything that ends a run without a result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A signal (its number) asked us to stop; children are ended by their guards on the way out.
    Interrupted(i32),
    /// A program is not there; the text says how to get it.
    Missing(String),
    /// What was to be measured, or its origin, did not start, died or answered wrongly.
    Target { name: String, what: String, stderr: String },
    /// The load generator failed or printed what we cannot read.
    Generator { name: &'static str, what: String, stderr: String },
    /// The operating system refused something of ours.
    System { doing: String, source: io::Error },
}

impl Failure {
    /// A program of Debian is not there.
    pub(crate) fn missing(program: &str) -> Failure {
        Failure::Missing(format!("{program} is missing: {}", crate::programs::how_to_install(program)))
    }

    /// A refusal of the operating system; `doing` completes "cannot …".
    pub(crate) fn system(doing: impl Into<String>, source: io::Error) -> Failure {
        Failure::System { doing: doing.into(), source }
    }

    /// A refusal about one file.
    pub(crate) fn file(doing: &str, path: &Path, source: io::Error) -> Failure {
        Failure::system(format!("{doing} {}", path.display()), source)
    }

    /// The shells' convention for signals (128 + number), 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(1),
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Interrupted(_) => {
                write!(f, "interrupted; everything started has been ended, nothing is printed or written")
            }
            Failure::Missing(what) => write!(f, "{what}"),
            Failure::Target { name, what, stderr } => said(f, name, what, stderr),
            Failure::Generator { name, what, stderr } => said(f, name, what, stderr),
            Failure::System { doing, source } => write!(f, "cannot {doing}: {source}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn said(f: &mut fmt::Formatter<'_>, name: &str, what: &str, stderr: &str) -> fmt::Result {
    write!(f, "{name} {what}")?;
    if stderr.trim().is_empty() {
        return write!(f, "; it wrote nothing to stderr");
    }
    write!(f, "; its stderr ends with:")?;
    stderr.trim_end().lines().try_for_each(|line| write!(f, "\n  | {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_an_interrupt_is_the_shells() {
        assert_eq!(Failure::Interrupted(2).exit_code(), 130);
        assert_eq!(Failure::Interrupted(15).exit_code(), 143);
        assert_eq!(Failure::Missing(String::new()).exit_code(), 1);
    }

    #[test]
    fn a_target_that_failed_is_quoted() {
        let failure = Failure::Target { name: "nginx".into(), what: "ended".into(), stderr: "bind() failed\n".into() };
        assert_eq!(failure.to_string(), "nginx ended; its stderr ends with:\n  | bind() failed");
    }
}
