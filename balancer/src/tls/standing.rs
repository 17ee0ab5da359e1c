//! How it is with a certificate, for whoever asks.

use jiff::Timestamp;

/// The certificate for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whom it is for.
    pub name: String,
    /// The CA that gives it, or the file that it is in.
    pub from: String,
    /// From when on it counts; `None`: there is none yet.
    pub not_before: Option<Timestamp>,
    /// Until when it counts; `None`: there is none yet.
    pub not_after: Option<Timestamp>,
    /// What went wrong last.
    pub problem: Option<String>,
    /// When the next one is ordered; `None` where somebody else renews it.
    pub next: Option<Timestamp>,
}
