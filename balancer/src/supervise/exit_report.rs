//! The sentence that says how a worker ended.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::state::State;
use super::status::RestartReason;
use crate::endpoint::Noted;
use crate::shown;

/// All that is said about the end of one run of a worker.
#[derive(Debug, Clone)]
pub(super) struct ExitReport {
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
    /// Why it was not ready, where that is known better than by the time it took.
    pub(super) not_ready: Option<String>,
    /// Whether it was stopped because it did not answer.
    pub(super) hung: bool,
    /// Processes it has left behind.
    pub(super) left_behind: usize,
    /// Whether the kernel has killed somebody for want of memory.
    pub(super) oom: bool,
    /// Whether it was killed by a signal that was not ours, and the system does not tell whether that was for want of memory.
    pub(super) oom_unknown: bool,
    /// What its process group used when that was last looked at; 0: not known.
    pub(super) rss_bytes: u64,
    /// How long before its end that was.
    pub(super) looked_at: Duration,
    /// Whether it is done and not to be started again.
    pub(super) finished: bool,
    /// Requests on it at that moment; those that its end has cut off already are not among them.
    pub(super) in_flight: usize,
    /// Those that can be named, also of those cut off, oldest first.
    pub(super) requests: Vec<Noted>,
    /// When it ended.
    pub(super) at: std::time::Instant,
    /// When it is started again, if it is.
    pub(super) again_in: Option<Duration>,
}

impl ExitReport {
    /// Whether it ended because we told it to, to the operator's wish.
    pub(super) fn is_expected(&self) -> bool {
        self.state == State::Stopping && !self.was_wanted && !self.hung || self.finished
    }

    /// Why it is started again.
    pub(super) fn restart_reason(&self) -> RestartReason {
        match (self.state, self.was_ready) {
            _ if self.oom => RestartReason::OutOfMemory,
            _ if self.hung => RestartReason::Hung,
            (_, false) => RestartReason::NotReady,
            (State::Stopping, true) => RestartReason::SocketGone,
            _ => RestartReason::Died,
        }
    }

    /// In a few words: `SIGKILL`, `exit code 3`, `not ready within 60 s`.
    pub(super) fn briefly(&self) -> String {
        match (self.state, self.was_ready) {
            _ if self.hung => "did not answer".to_owned(),
            _ if self.oom => "out of memory".to_owned(),
            (State::Stopping, false) => match &self.not_ready {
                Some(why) => format!("not ready: {why}"),
                None => format!("not ready within {}", shown::time(self.ready_timeout)),
            },
            (State::Stopping, true) => "its place was gone".to_owned(),
            _ => match self.status.and_then(|status| status.signal()) {
                Some(number) => Signal::try_from(number).map_or("a signal", Signal::as_str).to_owned(),
                None => describe(self.status),
            },
        }
    }

    /// What comes behind "the new one": `died after 2.2 s (exit code 3)`.
    pub(super) fn how(&self) -> String {
        let lived = shown::time(self.lived);
        match (self.state, self.was_ready) {
            _ if self.hung => format!("did not answer and was stopped after {lived}"),
            (State::Stopping, false) => match &self.not_ready {
                Some(why) => format!("was not ready ({why})"),
                None => format!("was not ready within {}", shown::time(self.ready_timeout)),
            },
            (State::Stopping, true) => format!("was stopped after {lived}"),
            _ => {
                let oom = if self.oom { ", by the kernel, which was out of memory" } else { "" };
                format!("died after {lived} ({}{oom})", describe_briefly(self.status))
            }
        }
    }

    /// One sentence: `app.2 (pid 123) died: killed by signal 9 (SIGKILL) after 3.2 s with 4 requests in flight (…), it used
    /// 31.9 MiB 400 ms before; starting again in 98 ms`.
    pub(super) fn sentence(&self) -> String {
        let Self { name, pid, .. } = self;
        let (mut how, lived) = (describe(self.status), shown::time(self.lived));
        if self.oom {
            how.push_str(" by the kernel, which was out of memory");
        } else if self.oom_unknown {
            how.push_str(", not by balancer: perhaps by the kernel, because memory was short,");
        }
        let mut sentence = match (self.state, self.was_ready) {
            _ if self.hung => format!("{name} (pid {pid}) did not answer and was stopped: {how} after {lived}"),
            _ if self.finished => format!("{name} (pid {pid}) has finished: {how} after {lived}"),
            _ if self.is_expected() => format!("{name} (pid {pid}) stopped: {how} after {lived}"),
            (State::Stopping, false) => {
                let why = match &self.not_ready {
                    Some(why) => format!("was not ready ({why})"),
                    None => format!("was not ready within {}", shown::time(self.ready_timeout)),
                };
                format!("{name} (pid {pid}) {why} and was stopped: {how} after {lived}")
            }
            (State::Stopping, true) => format!("{name} (pid {pid}) was stopped: {how} after {lived}"),
            (_, false) => format!("{name} (pid {pid}) died before it was ready: {how} after {lived}"),
            (_, true) => format!("{name} (pid {pid}) died: {how} after {lived}"),
        };
        let _ = match self.in_flight.max(self.requests.len()) {
            0 => Ok(()),
            1 => write!(sentence, " with 1 request in flight"),
            many => write!(sentence, " with {many} requests in flight"),
        };
        sentence.push_str(&self.named());
        if self.rss_bytes > 0 && !self.is_expected() {
            // A second is enough to take all there is.
            let _ =
                write!(sentence, ", it used {} {} before", shown::size(self.rss_bytes), shown::time(self.looked_at));
        }
        sentence.push_str(&self.background());
        if let Some(delay) = self.again_in {
            let _ = match delay.is_zero() {
                true => write!(sentence, "; starting again at once"),
                false => write!(sentence, "; starting again in {}", shown::time(delay)),
            };
        }
        sentence
    }

    /// What to do where it has gone into the background by itself.
    fn background(&self) -> String {
        let ended_well = self.status.is_some_and(|status| status.success()) && self.state != State::Stopping;
        match self.left_behind {
            _ if !ended_well || self.finished => String::new(),
            0 if self.was_ready => String::new(),
            0 => "; a worker has to stay in the foreground".to_owned(),
            1 => format!("; it left 1 process in the background, which is ended{FOREGROUND}"),
            many => format!("; it left {many} processes in the background, which are ended{FOREGROUND}"),
        }
    }

    /// ` (GET /a since 1.2 s, id 3f…; and 2 more)`.
    fn named(&self) -> String {
        if self.requests.is_empty() {
            return String::new();
        }
        let name = |noted: &Noted| {
            let target: String = noted.target().chars().take(TARGET_CHARS_MAX).collect();
            let id = String::from_utf8_lossy(&noted.id);
            let age = shown::time(self.at.saturating_duration_since(noted.begun));
            format!("{} {target} since {age}, id {id}", noted.head.method)
        };
        let mut named: Vec<_> = self.requests.iter().take(NAMED_MAX).map(name).collect();
        let more = self.in_flight.max(self.requests.len()).saturating_sub(named.len());
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        format!(" ({})", named.join("; "))
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

/// `1 WebSocket`; other tunnels are rare.
pub fn web_sockets(count: usize) -> String {
    format!("{count} WebSocket{}", if count == 1 { "" } else { "s" })
}

/// `exit code 3`, `signal 9, SIGKILL`.
fn describe_briefly(status: Option<ExitStatus>) -> String {
    match status.and_then(|status| status.signal()) {
        Some(number) => format!("signal {number}, {}", Signal::try_from(number).map_or("real-time", Signal::as_str)),
        None => describe(status),
    }
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

const FOREGROUND: &str = ": a worker has to stay in the foreground (without --daemon, & or the like)";
/// Requests named in a sentence.
const NAMED_MAX: usize = 10;
const TARGET_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Fields, RequestHead};

    fn report() -> ExitReport {
        ExitReport {
            name: "app.2".into(),
            pid: 123,
            status: Some(ExitStatus::from_raw(9)),
            lived: Duration::from_millis(3_210),
            state: State::Ready,
            was_wanted: true,
            was_ready: true,
            ready_timeout: Duration::from_secs(60),
            not_ready: None,
            hung: false,
            left_behind: 0,
            oom: false,
            oom_unknown: false,
            rss_bytes: 0,
            looked_at: Duration::from_millis(400),
            finished: false,
            in_flight: 4,
            requests: Vec::new(),
            at: std::time::Instant::now(),
            again_in: Some(Duration::from_millis(98)),
        }
    }

    #[test]
    fn every_end_has_its_sentence() {
        let base = report();
        assert_eq!(
            base.sentence(),
            "app.2 (pid 123) died: killed by signal 9 (SIGKILL) after 3.2 s with 4 requests in flight; starting again in 98 ms"
        );
        let exit = |code: i32| Some(ExitStatus::from_raw(code << 8));
        let early =
            ExitReport { state: State::Starting, was_ready: false, status: exit(3), in_flight: 0, ..base.clone() };
        assert_eq!(
            early.sentence(),
            "app.2 (pid 123) died before it was ready: exit code 3 after 3.2 s; starting again in 98 ms"
        );
        let slow = ExitReport { state: State::Stopping, ..early.clone() };
        assert_eq!(
            slow.sentence(),
            "app.2 (pid 123) was not ready within 60 s and was stopped: exit code 3 after 3.2 s; starting again in 98 ms"
        );
        let told = ExitReport {
            state: State::Stopping,
            was_wanted: false,
            again_in: None,
            in_flight: 0,
            status: exit(0),
            ..base.clone()
        };
        assert_eq!(told.sentence(), "app.2 (pid 123) stopped: exit code 0 after 3.2 s");
        let ill = ExitReport { state: State::Stopping, in_flight: 0, status: exit(0), ..base.clone() };
        assert_eq!(ill.sentence(), "app.2 (pid 123) was stopped: exit code 0 after 3.2 s; starting again in 98 ms");
        let drained = ExitReport { state: State::Draining, again_in: None, in_flight: 1, ..base.clone() };
        assert_eq!(
            drained.sentence(),
            "app.2 (pid 123) died: killed by signal 9 (SIGKILL) after 3.2 s with 1 request in flight"
        );
        let briefly = [&base, &early, &slow, &ill].map(ExitReport::briefly);
        assert_eq!(briefly, ["SIGKILL", "exit code 3", "not ready within 60 s", "its place was gone"]);
        let core = ExitReport { status: Some(ExitStatus::from_raw(11 | 0x80)), ..base };
        assert!(core.sentence().contains("killed by signal 11 (SIGSEGV, core dumped)"), "{}", core.sentence());
    }

    #[test]
    fn requests_and_memory_are_named_and_so_is_the_kernel() {
        let noted = |target: &'static str| Noted {
            head: Arc::new(
                RequestHead::parse(format!("POST {target} HTTP/1.1\r\n\r\n").as_bytes(), Fields::default()).unwrap(),
            ),
            id: *b"000000000000000000000000000000a1",
            client: None,
            begun: report().at,
            given: report().at,
        };
        let at = report().at;
        let requests = vec![Noted { begun: at, ..noted("/import?x") }];
        let died = ExitReport { requests, in_flight: 0, rss_bytes: 33_500_000, oom: true, at, ..report() };
        assert_eq!(
            died.sentence(),
            "app.2 (pid 123) died: killed by signal 9 (SIGKILL) by the kernel, which was out of memory after 3.2 s with 1 \
             request in flight (POST /import?x since 0 ms, id 000000000000000000000000000000a1), it used 31.9 MiB 400 ms before; starting again in 98 ms"
        );
        assert_eq!(died.restart_reason(), RestartReason::OutOfMemory);
        let many = ExitReport { requests: vec![noted("/"); 12], in_flight: 30, ..report() };
        assert!(many.sentence().contains("with 30 requests in flight (POST / since "), "{}", many.sentence());
        assert!(many.sentence().contains("; and 20 more); starting"), "{}", many.sentence());
    }

    #[test]
    fn who_hung_or_could_not_warm_up_is_told() {
        let hung = ExitReport { hung: true, was_wanted: false, state: State::Stopping, again_in: None, ..report() };
        assert!(hung.sentence().starts_with("app.2 (pid 123) did not answer and was stopped: killed by signal 9"));
        assert!(!hung.is_expected());
        let not_ready = Some("GET / was answered 500".to_owned());
        let cold = ExitReport { not_ready, was_ready: false, state: State::Stopping, ..report() };
        assert!(
            cold.sentence().starts_with("app.2 (pid 123) was not ready (GET / was answered 500) and was stopped: ")
        );
    }

    #[test]
    fn who_goes_into_the_background_is_told_to_stay() {
        let left = ExitReport {
            status: Some(ExitStatus::from_raw(0)),
            was_ready: false,
            state: State::Starting,
            in_flight: 0,
            left_behind: 2,
            ..report()
        };
        let text = left.sentence();
        assert!(
            text.contains("exit code 0 after 3.2 s; it left 2 processes in the background, which are ended: a"),
            "{text}"
        );
        assert!(text.ends_with("or the like); starting again in 98 ms"), "{text}");
        let alone = ExitReport { left_behind: 0, ..left.clone() };
        assert!(alone.sentence().contains("; a worker has to stay in the foreground;"), "{}", alone.sentence());
        for other in [
            ExitReport { status: Some(ExitStatus::from_raw(1 << 8)), ..left.clone() },
            ExitReport { state: State::Stopping, ..left.clone() },
            ExitReport { left_behind: 0, was_ready: true, ..left },
        ] {
            assert!(!other.sentence().contains("foreground"), "{}", other.sentence());
        }
    }

    #[test]
    fn last_lines_are_shown_when_they_may_explain_the_end() {
        let lines = ["loading".to_owned(), "no database".to_owned()];
        let text = report().with_last_lines(&lines);
        assert!(text.ends_with("98 ms; its last lines:\n    app.2 | loading\n    app.2 | no database"), "{text}");
        let told = ExitReport { state: State::Stopping, was_wanted: false, again_in: None, ..report() };
        assert_eq!(told.with_last_lines(&lines), told.sentence());
    }
}
