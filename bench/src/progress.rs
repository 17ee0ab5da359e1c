//! How far the run is.
//!
//! Decides what is shown: a bar that redraws itself on a terminal, a line per measurement elsewhere. Called by
//! [`crate::compare`]. Never writes to stdout, which has the result.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::say;

/// Runs done of runs planned. Dropping it removes the bar.
pub(crate) struct Progress {
    total: usize,
    done: usize,
    started: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn of(total: usize) -> Progress {
        let terminal = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        DRAWN.store(false, Ordering::Relaxed);
        Progress { total, done: 0, started: Instant::now(), terminal }
    }

    /// Something that takes a while begins.
    pub(crate) fn begin(&self, what: &str) {
        self.draw(what);
    }

    /// One of the planned runs has ended with this to say.
    pub(crate) fn end(&mut self, outcome: &str) {
        self.done += 1;
        if self.terminal {
            self.draw(outcome);
        } else {
            say(&format!("[{}/{}] {outcome}", self.done, self.total));
        }
    }

    fn draw(&self, text: &str) {
        if self.terminal {
            let line = line(self.done, self.total, self.started.elapsed(), text);
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r{line}\x1b[K").and_then(|()| out.flush());
            DRAWN.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        clear();
    }
}

/// Makes room for a line where a bar is drawn.
pub(crate) fn clear() {
    if DRAWN.swap(false, Ordering::Relaxed) {
        let mut out = io::stderr().lock();
        let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
    }
}

/// At most 79 columns: a line that wraps could not be drawn over.
fn line(done: usize, total: usize, elapsed: Duration, text: &str) -> String {
    let total = total.max(1);
    let filled = (done * WIDTH / total).min(WIDTH);
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(WIDTH - filled));
    let left = match (done, total.saturating_sub(done)) {
        (0, _) | (_, 0) => String::new(),
        (done, left) => format!(" {} left", clock(elapsed.mul_f64(left as f64 / done as f64))),
    };
    format!("[{bar}] {done}/{total}{left}  {text}").chars().take(79).collect()
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Is a bar on the last line of the terminal?
static DRAWN: AtomicBool = AtomicBool::new(false);
const WIDTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_much_is_done_and_left_and_fits() {
        let text = line(5, 20, Duration::from_secs(100), "keepalive round 1/3: nginx");
        assert_eq!(text, "[#####---------------] 5/20 5:00 left  keepalive round 1/3: nginx");
        assert_eq!(line(0, 0, Duration::ZERO, ""), format!("[{}] 0/1  ", "-".repeat(WIDTH)));
        assert_eq!(line(1, 2, Duration::ZERO, &"x".repeat(200)).chars().count(), 79);
    }
}
