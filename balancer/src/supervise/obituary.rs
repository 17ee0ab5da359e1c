//! The sentence that says how a worker ended.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::life::State;
use super::status::RestartReason;

/// All that is said about the end of one run of a worker.
#[derive(Debug, Clone)]
pub(super) struct Obituary {
    /// `app.2`.
    pub(super) name: Arc<str>,
    /// Its process.
    pub(super) pid: i32,
    /// How it ended, unless the kernel did not tell.
    pub(super) status: Option<ExitStatus>,
    /// How long its process lived.
    pub(super) lived: Duration,
    /// Where it was in its life.
    pub(super) state: State,
    /// Whether it was to go on.
    pub(super) was_wanted: bool,
    /// Whether it was ready once.
    pub(super) was_ready: bool,
    /// How long it had to become ready.
    pub(super) ready_timeout: Duration,
    /// Requests on it at that moment.
    pub(super) in_flight: usize,
    /// When it is started again, if it is.
    pub(super) again_in: Option<Duration>,
}

impl Obituary {
    /// Whether it ended because we told it to, to the operator's wish.
    pub(super) fn is_expected(&self) -> bool {
        self.state == State::Stopping && !self.was_wanted
    }

    /// Why it is started again.
    pub(super) fn restart_reason(&self) -> RestartReason {
        match (self.state, self.was_ready) {
            (_, false) => RestartReason::NotReady,
            (State::Stopping, true) => RestartReason::SocketGone,
            _ => RestartReason::Died,
        }
    }

    /// One sentence: `app.2 (pid 123) died: killed by signal 9 (SIGKILL) after 3.2 s with 4 requests in flight; starting again
    /// in 0.1 s`.
    pub(super) fn sentence(&self) -> String {
        let Self { name, pid, .. } = self;
        let (how, lived) = (describe(self.status), seconds(self.lived));
        let mut sentence = match (self.state, self.was_ready) {
            _ if self.is_expected() => format!("{name} (pid {pid}) stopped: {how} after {lived}"),
            (State::Stopping, false) => {
                let limit = seconds(self.ready_timeout);
                format!("{name} (pid {pid}) was not ready within {limit} and was stopped: {how} after {lived}")
            }
            (State::Stopping, true) => format!("{name} (pid {pid}) was stopped: {how} after {lived}"),
            (_, false) => format!("{name} (pid {pid}) died before it was ready: {how} after {lived}"),
            (_, true) => format!("{name} (pid {pid}) died: {how} after {lived}"),
        };
        let _ = match self.in_flight {
            0 => Ok(()),
            1 => write!(sentence, " with 1 request in flight"),
            many => write!(sentence, " with {many} requests in flight"),
        };
        if let Some(delay) = self.again_in {
            let _ = write!(sentence, "; starting again in {}", seconds(delay));
        }
        sentence
    }

    /// Logs it, and returns what it logged.
    pub(super) fn tell(&self, last_lines: &[String]) -> String {
        let text = self.with_last_lines(last_lines);
        if self.is_expected() {
            tracing::info!("{text}");
        } else {
            tracing::warn!("{text}");
        }
        text
    }

    /// The sentence, and what the worker printed last where that may explain its end.
    fn with_last_lines(&self, lines: &[String]) -> String {
        let mut text = self.sentence();
        if !self.is_expected() && !lines.is_empty() {
            text.push_str("; its last lines:");
            for line in lines {
                let _ = write!(text, "\n    {} | {line}", self.name);
            }
        }
        text
    }
}

/// `1.2 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn describe(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "ended".to_owned() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => {
            let name = Signal::try_from(number).map_or("real-time", Signal::as_str);
            let core = if status.core_dumped() { ", core dumped" } else { "" };
            format!("killed by signal {number} ({name}{core})")
        }
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obituary() -> Obituary {
        Obituary {
            name: "app.2".into(),
            pid: 123,
            status: Some(ExitStatus::from_raw(9)),
            lived: Duration::from_millis(3_210),
            state: State::Ready,
            was_wanted: true,
            was_ready: true,
            ready_timeout: Duration::from_secs(60),
            in_flight: 4,
            again_in: Some(Duration::from_millis(98)),
        }
    }

    #[test]
    fn every_end_has_its_sentence() {
        let base = obituary();
        assert_eq!(
            base.sentence(),
            "app.2 (pid 123) died: killed by signal 9 (SIGKILL) after 3.2 s with 4 requests in flight; starting again in 0.1 s"
        );
        let exit = |code: i32| Some(ExitStatus::from_raw(code << 8));
        let early =
            Obituary { state: State::Starting, was_ready: false, status: exit(3), in_flight: 0, ..base.clone() };
        assert_eq!(
            early.sentence(),
            "app.2 (pid 123) died before it was ready: exit code 3 after 3.2 s; starting again in 0.1 s"
        );
        let slow = Obituary { state: State::Stopping, ..early.clone() };
        assert_eq!(
            slow.sentence(),
            "app.2 (pid 123) was not ready within 60.0 s and was stopped: exit code 3 after 3.2 s; starting again in 0.1 s"
        );
        let told = Obituary {
            state: State::Stopping,
            was_wanted: false,
            again_in: None,
            in_flight: 0,
            status: exit(0),
            ..base.clone()
        };
        assert_eq!(told.sentence(), "app.2 (pid 123) stopped: exit code 0 after 3.2 s");
        let ill = Obituary { state: State::Stopping, in_flight: 0, status: exit(0), ..base.clone() };
        assert_eq!(ill.sentence(), "app.2 (pid 123) was stopped: exit code 0 after 3.2 s; starting again in 0.1 s");
        let drained = Obituary { state: State::Draining, again_in: None, in_flight: 1, ..base.clone() };
        assert_eq!(
            drained.sentence(),
            "app.2 (pid 123) died: killed by signal 9 (SIGKILL) after 3.2 s with 1 request in flight"
        );
        let core = Obituary { status: Some(ExitStatus::from_raw(11 | 0x80)), ..base };
        assert!(core.sentence().contains("killed by signal 11 (SIGSEGV, core dumped)"), "{}", core.sentence());
    }

    #[test]
    fn last_lines_are_shown_when_they_may_explain_the_end() {
        let lines = ["loading".to_owned(), "no database".to_owned()];
        let text = obituary().with_last_lines(&lines);
        assert!(text.ends_with("0.1 s; its last lines:\n    app.2 | loading\n    app.2 | no database"), "{text}");
        let told = Obituary { state: State::Stopping, was_wanted: false, again_in: None, ..obituary() };
        assert_eq!(told.with_last_lines(&lines), told.sentence());
    }
}
