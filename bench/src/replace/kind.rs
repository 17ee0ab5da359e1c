//! The programs that are replaced.
//!
//! Decides how each is started and told what to do. Called by [`super::site`]. Never starts one.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::{failure::Failure, lab::Lab};

/// What a worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// This workspace's `backend`
    BuiltIn,
    /// node:http
    Node,
    /// Python's http.server, a thread for each connection
    Python,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::BuiltIn, Kind::Node, Kind::Python];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::BuiltIn => "built-in",
            Kind::Node => "node",
            Kind::Python => "python",
        }
    }
}

/// How a worker behaves, whatever it is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Manners {
    /// Before each answer, milliseconds.
    pub(super) delay_ms: u64,
    /// So many requests take [`COLD_MS`] more.
    pub(super) cold_requests: u64,
    /// Before it listens, milliseconds; the built-in one alone can do that.
    pub(super) start_delay_ms: u64,
}

/// A kind whose program was found.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) kind: Kind,
    words: Vec<String>,
}

impl Program {
    /// Looks for what it takes and writes its script.
    pub(super) fn find(kind: Kind, lab: &Lab) -> Result<Program, Failure> {
        let script = |interpreter: &str, name: &str, text: &str| {
            Ok::<Vec<PathBuf>, Failure>(vec![resolved(&lab.program(interpreter)?), lab.scratch.write(name, text)?])
        };
        let words = match kind {
            Kind::BuiltIn => vec![lab.program("backend")?],
            Kind::Node => script("node", "worker.js", include_str!("worker.js"))?,
            Kind::Python => script("python3", "worker.py", include_str!("worker.py"))?,
        };
        Ok(Program { kind, words: words.iter().map(|word| word.display().to_string()).collect() })
    }

    /// A worker that nobody supervises, on `port`.
    pub(super) fn command(&self, port: u16, record: &Path, command: impl Fn(&Path) -> Command) -> Command {
        let mut words = self.words.iter().chain(&self.options(Manners::default(), record)).cloned().collect::<Vec<_>>();
        let mut command = command(Path::new(&words.remove(0)));
        command.args(words).env("HOST", "127.0.0.1").env("PORT", port.to_string()).env("RECORD", record);
        command
    }

    /// The keys `command` and `env` of a pool's table `workers`.
    pub(super) fn keys(&self, manners: Manners, record: &Path) -> String {
        let quoted = |text: &String| format!("{text:?}");
        let words: Vec<String> = self.words.iter().chain(&self.options(manners, record)).map(quoted).collect();
        let Manners { delay_ms, cold_requests, .. } = manners;
        format!(
            "command = [{}]\nenv = {{ RECORD = {:?}, DELAY_MS = \"{delay_ms}\", COLD_REQUESTS = \"{cold_requests}\", COLD_MS = \"{COLD_MS}\" }}\n",
            words.join(", "),
            record.display().to_string(),
        )
    }

    fn options(&self, manners: Manners, record: &Path) -> Vec<String> {
        if self.kind != Kind::BuiltIn {
            return Vec::new();
        }
        let Manners { delay_ms, cold_requests, start_delay_ms } = manners;
        let mut words = vec!["--record".to_owned(), record.display().to_string()];
        let numbers = [
            ("--delay-ms", delay_ms),
            ("--cold-requests", cold_requests),
            ("--cold-ms", COLD_MS),
            ("--start-delay", start_delay_ms),
        ];
        words.extend(numbers.into_iter().flat_map(|(name, number)| [name.to_owned(), number.to_string()]));
        words
    }
}

/// The interpreter behind a version manager's script, which would take longer to find it than a worker to start.
fn resolved(found: &Path) -> PathBuf {
    let asked = Command::new(found).args(["-c", "import sys; print(sys.executable)"]).output();
    let told = asked.ok().filter(|output| output.status.success());
    let path = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    path.filter(|path| path.is_absolute() && path.is_file()).unwrap_or_else(|| found.to_owned())
}

/// What a cold worker adds to a request.
pub(super) const COLD_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_toml_and_tell_each_kind_the_same() {
        let manners = Manners { delay_ms: 5, cold_requests: 20, start_delay_ms: 50 };
        let program = |kind| Program { kind, words: vec!["/bin/a \"b\"".to_owned()] };
        let text = program(Kind::Node).keys(manners, "/r".as_ref());
        assert_eq!(
            text,
            "command = [\"/bin/a \\\"b\\\"\"]\n\
             env = { RECORD = \"/r\", DELAY_MS = \"5\", COLD_REQUESTS = \"20\", COLD_MS = \"2000\" }\n"
        );
        let text = program(Kind::BuiltIn).keys(manners, "/r".as_ref());
        let options = "\"--record\", \"/r\", \"--delay-ms\", \"5\", \"--cold-requests\", \"20\", \"--cold-ms\", \"2000\", \"--start-delay\", \"50\"]";
        assert!(text.contains(options), "{text}");
    }

    #[test]
    fn an_interpreter_that_does_not_tell_where_it_is_stays_what_was_found() {
        assert_eq!(resolved("/bin/true".as_ref()), PathBuf::from("/bin/true"));
    }
}
