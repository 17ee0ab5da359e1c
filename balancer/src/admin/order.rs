//! What is asked to be done, and what is told of it.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::observe::printable;

/// Something to do, and who is told how it goes.
#[derive(Debug)]
pub struct AdminOrder {
    /// What.
    pub action: AdminAction,
    /// Who asked; may be gone, which ends nothing.
    pub reporter: Reporter,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAction {
    /// Read the configuration again and do what it says.
    Reload {
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Replace every worker of a pool.
    Restart {
        /// Its name; without it, the only one that has workers.
        pool: Option<String>,
        /// Of every pool, one after another.
        all: bool,
    },
    /// Have so many workers.
    Scale {
        /// Name of their pool.
        pool: String,
        /// How many.
        count: usize,
    },
    /// Let endpoints take no new request, and wait until they have none.
    Drain {
        /// `127.0.0.1:8000`, `app.2`, or with the pool in front, `app/127.0.0.1:8000`.
        endpoint: String,
        /// Though nobody is left then.
        yes: bool,
    },
    /// Take that back.
    Undrain {
        /// As above.
        endpoint: String,
    },
    /// End, as after TERM.
    Stop {
        /// As after the second.
        now: bool,
    },
}

/// Tells whoever asked how it goes.
#[derive(Debug, Clone)]
pub struct Reporter(Option<mpsc::UnboundedSender<Report>>);

/// One thing that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What is being waited for now; replaces the one before.
    Progress(String),
    /// Part of the answer.
    Text(String),
    /// The end.
    Done(Outcome),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code of the command: 0 done, 1 failed, 2 wrong use, 78 wrong configuration.
    pub code: u8,
    /// In words.
    pub text: String,
}

impl Reporter {
    /// And where it is heard. Unbounded, for an action tells a few lines and no client can make it tell more.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Nobody asked: a signal came.
    pub fn nobody() -> Self {
        Self(None)
    }

    /// What is being waited for now.
    pub fn progress(&self, text: impl Into<String>) {
        self.tell(Report::Progress(text.into()));
    }

    /// Part of the answer.
    pub fn text(&self, text: impl Into<String>) {
        self.tell(Report::Text(text.into()));
    }

    /// The end.
    pub fn done(&self, outcome: Outcome) {
        self.tell(Report::Done(outcome));
    }

    fn tell(&self, line: Report) {
        if let Some(sender) = &self.0 {
            // Who asked may be gone.
            let _ = sender.send(line);
        }
    }
}

impl Outcome {
    /// It is done.
    pub fn done(text: impl Into<String>) -> Self {
        Self { code: 0, text: text.into() }
    }

    /// It was tried and is not done.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// It makes no sense.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }
}

impl Report {
    /// As a line of JSON.
    pub(super) fn json(&self) -> Bytes {
        let line = match self {
            Self::Progress(text) => json!({ "progress": text }),
            Self::Text(text) => json!({ "text": text }),
            Self::Done(outcome) => json!({ "done": { "code": outcome.code, "text": outcome.text } }),
        }
        .to_string();
        format!("{}\n", printable::in_json(&line)).into()
    }

    /// The other way round.
    pub fn parse(line: &str) -> Option<Self> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        if let Some(progress) = line.get("progress") {
            return text(progress).map(Self::Progress);
        }
        if let Some(part) = line.get("text") {
            return text(part).map(Self::Text);
        }
        let done = line.get("done")?;
        let code = u8::try_from(done.get("code")?.as_u64()?).ok()?;
        Some(Self::Done(Outcome { code, text: text(done.get("text")?)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let lines = [
            Report::Progress("app: 1 of 4 \"replaced\"\n".into()),
            Report::Text(String::new()),
            Report::Done(Outcome { code: 78, text: "é".into() }),
        ];
        for line in lines {
            assert_eq!(Report::parse(std::str::from_utf8(&line.json()).unwrap()), Some(line));
        }
        for wrong in ["", "{}", "[1]", "{\"done\":{\"code\":300,\"text\":\"\"}}", "{\"progress\":1}"] {
            assert_eq!(Report::parse(wrong), None, "{wrong}");
        }
    }
}
