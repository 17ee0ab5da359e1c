//! One thing that was looked at. Decides nothing; made by the files beside it.

/// What was found, with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Severity,
    /// What was looked at, in a few words.
    pub(super) what: &'static str,
    /// What it is, the number that led to the level, and why that matters.
    pub(super) why: String,
    /// Commands, or lines of a file.
    pub(super) type_this: Vec<String>,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It will be in the way.
    Warning,
    /// It may surprise.
    Note,
    /// It is as it should be.
    Fine,
}

impl Severity {
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Warning => "[!!]",
            Self::Note => "[ i]",
            Self::Fine => "[ok]",
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Fine => "fine",
        }
    }
}

pub(super) fn fine(what: &'static str, why: String) -> Finding {
    Finding { level: Severity::Fine, what, why, type_this: Vec::new() }
}

pub(super) fn note(what: &'static str, why: String, type_this: Vec<String>) -> Finding {
    Finding { level: Severity::Note, what, why, type_this }
}

pub(super) fn warning(what: &'static str, why: String, type_this: Vec<String>) -> Finding {
    Finding { level: Severity::Warning, what, why, type_this }
}
