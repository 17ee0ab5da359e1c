//! The last lines of something, for whoever asks later, and the next ones for whoever waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;

/// Keeps lines until there are too many bytes of them. Nobody who reads, however slowly, keeps them from being forgotten.
#[derive(Debug)]
pub struct Journal {
    lines: Mutex<Lines>,
    more: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<JournalLine>,
    bytes: usize,
    /// Number of the first that is kept; the very first was 0.
    first: u64,
}

/// A line, and when it came.
#[derive(Debug, Clone)]
pub struct JournalLine {
    /// When.
    pub at: Timestamp,
    /// With its newline.
    pub text: Bytes,
}

/// Where somebody is in a journal.
#[derive(Debug)]
pub struct Reader {
    journal: Arc<Journal>,
    next: u64,
}

impl Journal {
    /// An empty one that keeps so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { lines: Mutex::default(), more: Notify::new(), bytes_max })
    }

    /// Adds whole lines, each with its newline.
    pub fn add(&self, text: &[u8]) {
        let at = Timestamp::now();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            lines.bytes += line.len() + OVERHEAD;
            lines.kept.push_back(JournalLine { at, text: Bytes::copy_from_slice(line) });
        }
        while lines.bytes > self.bytes_max
            && let Some(line) = lines.kept.pop_front()
        {
            lines.bytes -= line.text.len() + OVERHEAD;
            lines.first += 1;
        }
        drop(lines);
        self.more.notify_waiters();
    }

    /// Reads from the first line that is kept.
    pub fn read(self: &Arc<Self>) -> Reader {
        Reader { journal: Arc::clone(self), next: 0 }
    }
}

impl Reader {
    /// The lines that came since, at most some hundred; and how many were forgotten before they could be read.
    pub fn take(&mut self) -> (Vec<JournalLine>, u64) {
        let lines = self.journal.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // What was forgotten before the first look was never promised.
        let lost = if self.next == 0 { 0 } else { lines.first.saturating_sub(self.next) };
        self.next = self.next.max(lines.first);
        let at = usize::try_from(self.next - lines.first).unwrap_or(usize::MAX);
        let taken: Vec<JournalLine> = lines.kept.iter().skip(at).take(LINES_AT_ONCE).cloned().collect();
        self.next += taken.len() as u64;
        (taken, lost)
    }

    /// Returns when there may be more.
    pub async fn more(&self) {
        let journal = &self.journal;
        let notified = journal.more.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let end = {
            let lines = journal.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.first + lines.kept.len() as u64
        };
        if end <= self.next {
            notified.await;
        }
    }
}

/// What a line costs besides its bytes, about; else a flood of empty lines would have no bound.
const OVERHEAD: usize = 80;
const LINES_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts((lines, lost): &(Vec<JournalLine>, u64)) -> (Vec<Bytes>, u64) {
        (lines.iter().map(|line| line.text.clone()).collect(), *lost)
    }

    #[tokio::test]
    async fn old_lines_are_forgotten_and_a_slow_reader_is_told_how_many() {
        let journal = Journal::new(10 * (OVERHEAD + 3));
        let mut reader = journal.read();
        journal.add(b"a0\na1\n");
        reader.more().await;
        assert_eq!(texts(&reader.take()), (vec![Bytes::from("a0\n"), Bytes::from("a1\n")], 0));
        for number in 0..15 {
            journal.add(format!("{number:02}\n").as_bytes());
        }
        let (lines, lost) = texts(&reader.take());
        assert_eq!((lines.len(), lost), (10, 5));
        assert_eq!((&lines[0][..], &lines[9][..]), (&b"05\n"[..], &b"14\n"[..]));
        assert_eq!(texts(&reader.take()), (vec![], 0));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_line() {
        let journal = Journal::new(1_000);
        let mut reader = journal.read();
        let waiting = tokio::spawn(async move {
            reader.more().await;
            texts(&reader.take()).0
        });
        tokio::task::yield_now().await;
        journal.add(b"x\n");
        assert_eq!(waiting.await.unwrap(), [Bytes::from("x\n")]);
    }
}
