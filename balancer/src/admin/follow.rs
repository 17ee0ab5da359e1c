//! A journal as an answer: what it has, and what comes while the client stays.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::answer::AnswerBody;
use crate::observe::{Journal, JournalLine};

/// Which of its lines, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineSelection {
    /// Also those that come.
    pub(super) follow: bool,
    /// Behind the time at which each came.
    pub(super) times: bool,
    /// Of those that are there, so many of the last.
    pub(super) last: Option<usize>,
    /// Those that came at this time or later.
    pub(super) since: Option<Timestamp>,
}

/// The lines that `is_of` lets pass. Produced no faster than they are taken: lines that a slow client misses are counted in a line of
/// their own.
pub(super) fn lines(
    journal: &Arc<Journal>,
    wanted: LineSelection,
    is_of: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
) -> AnswerBody {
    let mut reader = journal.read();
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        // Until all that was there is seen, the last of it.
        let mut held = wanted.last.map(|_| VecDeque::new());
        loop {
            let (taken, lost) = reader.take();
            if lost > 0 && sender.send(format!("… {lost} lines were missed\n").into()).await.is_err() {
                return;
            }
            let is_end = taken.is_empty();
            let is_new = |line: &&JournalLine| wanted.since.is_none_or(|since| line.at >= since);
            let told =
                taken.iter().filter(|line| is_of(&line.text)).filter(is_new).map(|line| told(line, wanted.times));
            let piece = match (&mut held, wanted.last) {
                (Some(held), Some(last)) => {
                    held.extend(told);
                    held.drain(..held.len().saturating_sub(last));
                    if is_end { std::mem::take(held).into_iter().flatten().collect() } else { Vec::new() }
                }
                _ => told.flatten().collect(),
            };
            if is_end {
                held = None;
            }
            if !piece.is_empty() && sender.send(Bytes::from(piece)).await.is_err() {
                return;
            }
            match (is_end, wanted.follow) {
                (false, _) => {}
                (true, false) => return,
                (true, true) => tokio::select! {
                    () = reader.more() => {}
                    // The client has left.
                    () = sender.closed() => return,
                },
            }
        }
    });
    AnswerBody::Pieces(pieces)
}

/// A line as it is told; one in JSON has its time already.
fn told(line: &JournalLine, times: bool) -> Vec<u8> {
    match times && !line.text.starts_with(b"{") {
        true => [line.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ ").to_string().as_bytes(), &line.text].concat(),
        false => line.text.to_vec(),
    }
}

/// Whether a line is a worker's, with `output = "prefix"` or `"json"`; there may be both, before and after a reload.
pub(super) fn is_of(line: &[u8], worker: &str) -> bool {
    if let Some(rest) = line.strip_prefix(worker.as_bytes()) {
        return rest.starts_with(b" | ");
    }
    let Some(rest) = line.strip_prefix(br#"{"time":""#) else { return false };
    let behind = rest.iter().position(|byte| *byte == b'"').and_then(|end| rest.get(end..)).unwrap_or_default();
    behind.starts_with(format!(r#"","worker":"{worker}","#).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_workers_in_either_form() {
        let json = |worker: &str, line: &str| {
            format!(r#"{{"time":"2026-01-01T00:00:00.000Z","worker":"{worker}","stream":"stdout","line":"{line}"}}"#)
        };
        let is_of = |line: &str| is_of(line.as_bytes(), "app.1");
        assert!(is_of("app.1 | a") && is_of(&json("app.1", "a")));
        for other in ["app.2 | app.1 | a", "app.11 | a", "app.1", "", "{\"time\":\"", "{\"time\":\"x\""] {
            assert!(!is_of(other), "{other}");
        }
        assert!(!is_of(&json("app.11", "a")) && !is_of(&json("app.2", r#"\",\"worker\":\"app.1\","#)));
        assert!(!is_of(&format!("app.2 | {}", json("app.1", "a"))));
    }
}
