//! `[access_log]`. Decides what the log's lines and place may be; called by [`crate::config::top`]; never opens it.

use std::path::{Path, PathBuf};

use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// The access log.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Its lines.
    pub format: AccessLogFormat,
    /// Where they go.
    pub path: AccessLogPath,
    /// The share of requests that get a line, 0.0 to 1.0; those that went wrong always do.
    pub sample: f64,
}

impl AccessLog {
    /// The file that its lines go to, if they go to one.
    pub fn file(&self) -> Option<&Path> {
        match &self.path {
            AccessLogPath::File(path) if self.format != AccessLogFormat::Off => Some(path),
            _ => None,
        }
    }
}

/// Lines of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// nginx's `combined` and our fields behind it.
    Combined,
    /// One object a line.
    Json,
    /// None.
    Off,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to, opened again on USR1.
    File(PathBuf),
}

/// The table, or the default.
pub(in crate::config) fn read(section: &mut Section<'_>) -> AccessLog {
    let default = AccessLog::default();
    let table = section.take("access_log").and_then(|item| item.section("access_log", "[access_log]"));
    let Some(mut table) = table else { return default };
    let words =
        &[("combined", AccessLogFormat::Combined), ("json", AccessLogFormat::Json), ("off", AccessLogFormat::Off)];
    let format = table.take("format").and_then(|item| item.choice(words));
    let path = table.take("path").and_then(|item| path(&item));
    let sample = table.take("sample").and_then(|item| item.percent(1.0));
    table.finish();
    AccessLog {
        format: format.unwrap_or(default.format),
        path: path.unwrap_or(default.path),
        sample: sample.unwrap_or(default.sample),
    }
}

fn path(item: &Item<'_>) -> Option<AccessLogPath> {
    let text = item.text("\"stdout\" or \"/var/log/balancer/access.log\"")?;
    match text {
        // Not opened by these names: where it is a socket (systemd's journal), that is refused.
        "stdout" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => return Some(AccessLogPath::Stdout),
        "stderr" | "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => return Some(AccessLogPath::Stderr),
        _ => {}
    }
    let path = Path::new(text);
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let (message, help) = match directory {
        // A word alone is rather a misspelt "stdout" than a file wherever we were started.
        None => (
            format!("{} is neither \"stdout\" nor \"stderr\" nor a path", quote(text)),
            format!("write \"stdout\" or \"./{text}\""),
        ),
        Some(_) if text.ends_with('/') || path.is_dir() => {
            (format!("{} is a directory", quote(text)), "write the path of a file".to_owned())
        }
        Some(directory) if !directory.is_dir() => {
            let directory = quote(&directory.display().to_string());
            (
                format!("there is no directory {directory}"),
                format!("make it first: mkdir -p {}", directory.trim_matches('`')),
            )
        }
        Some(_) => return Some(AccessLogPath::File(PathBuf::from(text))),
    };
    item.wrong(message, help);
    None
}
