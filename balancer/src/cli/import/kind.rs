//! Which program a file is of. Decides by its name, and by its text where the name says nothing; called by [`super`]; never reads it further.

use std::path::Path;

use clap::ValueEnum;

use super::procfile;

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub(super) enum Format {
    /// nginx.conf, or a file of sites-enabled
    Nginx,
    /// ecosystem.config.js or .json
    Pm2,
    /// Procfile
    Procfile,
    /// supervisord.conf, or a file that it includes
    Supervisord,
    /// docker-compose.yml
    Compose,
}

/// The kind of a file; `None`: neither name nor text tells it.
pub(super) fn of(path: &Path, text: &str) -> Option<Format> {
    path.file_name().and_then(|name| by_name(&name.to_string_lossy().to_ascii_lowercase())).or_else(|| by_text(text))
}

fn by_name(name: &str) -> Option<Format> {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    match ending {
        _ if stem == "procfile" => Some(Format::Procfile),
        "conf" if stem == "nginx" => Some(Format::Nginx),
        "conf" if stem == "supervisord" || stem == "supervisor" => Some(Format::Supervisord),
        "js" | "cjs" | "mjs" | "ts" => Some(Format::Pm2),
        "json" if stem.starts_with("ecosystem") || ["pm2", "process", "processes"].contains(&stem) => Some(Format::Pm2),
        "yml" | "yaml" if stem.contains("compose") => Some(Format::Compose),
        _ => None,
    }
}

fn by_text(text: &str) -> Option<Format> {
    let lines = || {
        text.lines()
            .map(str::trim_end)
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', ';']))
    };
    let is_section = |line: &str| {
        ["[program:", "[supervisord]", "[group:", "[fcgi-program:", "[eventlistener:"]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    let is_block = |line: &str| {
        let begin = line.trim_start().split([' ', '\t', '{']).next().unwrap_or_default();
        ["events", "http", "server", "upstream"].contains(&begin) && line.contains('{')
    };
    if lines().any(is_section) {
        return Some(Format::Supervisord);
    }
    if lines().any(|line| line.starts_with("services:")) {
        return Some(Format::Compose);
    }
    if text.contains("module.exports") || (text.trim_start().starts_with(['{', '[']) && text.contains("\"script\"")) {
        return Some(Format::Pm2);
    }
    if lines().any(is_block) {
        return Some(Format::Nginx);
    }
    (procfile::is_one(text) && lines().any(|line| line.starts_with("web:"))).then_some(Format::Procfile)
}
