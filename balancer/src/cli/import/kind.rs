//! Which program a file is of. Decides by its name, and by its text where the name says nothing; called by [`super`]; never reads it further.

use std::path::Path;

use clap::ValueEnum;

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub(super) enum Kind {
    /// nginx.conf, or a file of sites-enabled
    Nginx,
}

/// The kind of a file; `None`: neither name nor text tells it.
pub(super) fn of(path: &Path, text: &str) -> Option<Kind> {
    by_name(path).or_else(|| by_text(text))
}

fn by_name(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    match name.as_str() {
        "nginx.conf" => Some(Kind::Nginx),
        _ => None,
    }
}

fn by_text(text: &str) -> Option<Kind> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_block = |line: &str| {
        let begin = line.split([' ', '\t', '{']).next().unwrap_or_default();
        ["events", "http", "server", "upstream", "location", "map"].contains(&begin) && line.contains('{')
    };
    lines.any(is_block).then_some(Kind::Nginx)
}
