//! Who an instance is: it says so with every answer on its socket, so that whoever asked knows whom.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

/// An instance, as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// What it is called: `lb` for `lb.toml`, `run`, `demo`.
    pub name: String,
    /// Its process.
    pub pid: u64,
    /// Where its clients connect.
    pub listen: Vec<String>,
    /// Where its configuration comes from, for people.
    pub origin: String,
    /// Its file, if it has one, as it was written.
    pub file: Option<PathBuf>,
    /// Where it was started.
    pub directory: PathBuf,
    /// How long it has been running.
    pub uptime_seconds: u64,
}

impl Introduction {
    /// As the value of a field.
    pub(super) fn json(&self) -> String {
        json!({
            "name": self.name,
            "pid": self.pid,
            "listen": self.listen,
            "origin": self.origin,
            "file": self.file.as_ref().map(|path| path.to_string_lossy()),
            "directory": self.directory.to_string_lossy(),
            "uptime_seconds": self.uptime_seconds,
        })
        .to_string()
    }

    /// The other way round. What would move a terminal's cursor is left out.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(value).ok()?;
        let plain = |text: &str| text.chars().filter(|character| !character.is_control()).collect::<String>();
        let text = |key: &str| value.get(key)?.as_str().map(plain);
        let number = |key: &str| value.get(key)?.as_u64();
        let listen = value.get("listen")?.as_array()?.iter().filter_map(|one| one.as_str().map(plain)).collect();
        Some(Self {
            name: text("name")?,
            pid: number("pid")?,
            listen,
            origin: text("origin")?,
            file: text("file").map(PathBuf::from),
            directory: text("directory")?.into(),
            uptime_seconds: number("uptime_seconds")?,
        })
    }
}

impl fmt::Display for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}", self.name, self.pid)?;
        self.listen.iter().take(SHOWN_MAX).try_for_each(|address| write!(f, ", {address}"))?;
        match self.listen.len().saturating_sub(SHOWN_MAX) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

/// Addresses that tell instances apart.
const SHOWN_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_introduction_is_read_as_it_was_written_and_moves_no_cursor() {
        let mut introduction = Introduction {
            name: "lb".into(),
            pid: 7,
            listen: vec!["127.0.0.1:1".into(), "unix:/é".into(), "127.0.0.1:3".into()],
            origin: "./lb.toml".into(),
            file: Some("/srv/lb.toml".into()),
            directory: "/srv".into(),
            uptime_seconds: 3,
        };
        assert_eq!(Introduction::parse(introduction.json().as_bytes()), Some(introduction.clone()));
        assert_eq!(introduction.to_string(), "lb (pid 7, 127.0.0.1:1, unix:/é and 1 more)");
        introduction.origin = "\u{1b}[2J\r\nx".into();
        assert_eq!(Introduction::parse(introduction.json().as_bytes()).unwrap().origin, "[2Jx");
        assert_eq!(Introduction::parse(b"{}"), None);
    }
}
