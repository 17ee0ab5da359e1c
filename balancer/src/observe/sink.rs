//! One place lines go to. Decides what is lost where lines cannot be written, and tells it; called by the writing thread alone; never
//! waits for whoever reads.
//!
//! What is written are whole lines: where one was begun, its rest stands before everything else, however many were lost between.

use std::io;
use std::time::{Duration, Instant};

use super::target::LineTarget;

/// Where lines go, those that are still to be written, and what became of others.
#[derive(Debug)]
pub(super) struct Sink {
    /// In messages.
    name: String,
    target: LineTarget,
    /// Lines that are still to be written.
    pending: Vec<u8>,
    /// Whether the first of them was begun.
    begun: bool,
    trouble: Option<Trouble>,
}

/// Lines are being lost.
#[derive(Debug)]
struct Trouble {
    lost: u64,
    /// When the last was.
    at: Instant,
    /// Something was written since.
    wrote: bool,
}

/// What one look came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flushed {
    /// Lines that were lost.
    pub(super) lost: u64,
    /// There is something to be tried again soon.
    pub(super) waits: bool,
}

impl Sink {
    pub(super) fn new(name: String, target: LineTarget) -> Self {
        Self { name, target, pending: Vec::new(), begun: false, trouble: None }
    }

    /// Takes whole lines and writes what can be written now.
    pub(super) fn write(&mut self, lines: Vec<u8>, now: Instant) -> Flushed {
        let mut lost = 0;
        // All or nothing, as they came.
        if self.pending.is_empty() {
            self.pending = lines;
        } else if self.pending.len() + lines.len() > PENDING_MAX {
            lost = count(&lines);
            self.lose(lost, "the reader does not take them", now);
        } else {
            self.pending.extend_from_slice(&lines);
        }
        let flushed = self.flush(now);
        Flushed { lost: lost + flushed.lost, ..flushed }
    }

    /// Writes what can be written now.
    pub(super) fn flush(&mut self, now: Instant) -> Flushed {
        let mut written = 0;
        let failed = loop {
            if written == self.pending.len() {
                break None;
            }
            match self.target.write(&self.pending[written..], now) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) => break Some(error),
            }
        };
        if written > 0 {
            self.begun = self.pending[written - 1] != b'\n';
            self.pending.drain(..written);
        }
        match failed {
            None => {
                // A buffer that was needed once for much is not kept for ever.
                self.pending.shrink_to(KEPT);
                self.recovered(written > 0, now);
                Flushed { lost: 0, waits: self.trouble.as_ref().is_some_and(|trouble| trouble.wrote) }
            }
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => Flushed { lost: 0, waits: true },
            Some(error) => {
                let kept = match (self.begun, self.target.is_gone()) {
                    (true, false) => self.pending.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1),
                    // Whoever reads next has not seen its beginning.
                    _ => 0,
                };
                let lost = count(&self.pending[kept..]);
                self.pending.truncate(kept);
                self.begun &= kept > 0;
                self.lose(lost, &reason(&error), now);
                Flushed { lost, waits: true }
            }
        }
    }

    /// Lines did not get here: there were more than the queue holds.
    pub(super) fn overrun(&mut self, lines: u64, now: Instant) {
        self.lose(lines, "they come faster than they can be written", now);
    }

    /// Goes on elsewhere; a line that was begun stays as it is.
    pub(super) fn replace(&mut self, name: String, target: LineTarget) {
        let rest = match self.begun {
            true => self.pending.iter().position(|&byte| byte == b'\n').map_or(self.pending.len(), |end| end + 1),
            false => 0,
        };
        self.pending.drain(..rest);
        self.begun = false;
        (self.name, self.target) = (name, target);
    }

    /// Whether there is something left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn lose(&mut self, lines: u64, why: &str, now: Instant) {
        match &mut self.trouble {
            Some(trouble) => {
                (trouble.lost, trouble.at, trouble.wrote) = (trouble.lost + lines, now, false);
            }
            None => {
                self.trouble = Some(Trouble { lost: lines, at: now, wrote: false });
                tracing::error!("{}: lines are being lost: {why}", self.name);
            }
        }
    }

    /// All is written; that trouble is over is only said after a while, for a disk that is full takes a line now and then.
    fn recovered(&mut self, wrote: bool, now: Instant) {
        let over = |trouble: &mut Trouble| {
            trouble.wrote |= wrote;
            trouble.wrote && now.saturating_duration_since(trouble.at) >= SETTLED
        };
        if let Some(trouble) = self.trouble.take_if(over) {
            let plural = if trouble.lost == 1 { "line was" } else { "lines were" };
            tracing::warn!("{} works again; {} {plural} lost", self.name, trouble.lost);
        }
    }
}

/// Why lines cannot be written, in words.
pub(super) fn reason(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::BrokenPipe, _) | (_, Some(nix::libc::ENXIO)) => "the pipe has no reader".to_owned(),
        _ => error.to_string(),
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Of lines that wait for a reader who is slow; more than a thousand requests' worth.
const PENDING_MAX: usize = 1 << 20;
const KEPT: usize = 64 << 10;
/// Without a loss for so long, it works.
const SETTLED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    /// A pipe that takes 64 KiB, and its other end.
    fn pipe() -> (Sink, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        (Sink::new("a pipe".into(), LineTarget::inherited(writer.as_fd()).unwrap()), reader)
    }

    fn read(reader: &mut std::io::PipeReader, bytes: usize) -> String {
        let mut buffer = vec![0; bytes];
        reader.read_exact(&mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_reader_that_stops_costs_whole_lines_and_they_are_counted() {
        let (mut sink, mut reader) = pipe();
        let (now, line) = (Instant::now(), format!("{}\n", "x".repeat(9_999)));
        let (mut taken, mut lost) = (0, 0);
        for _ in 0..200 {
            let flushed = sink.write(line.as_bytes().to_vec(), now);
            assert!(flushed.lost <= 1);
            lost += flushed.lost;
            taken += 1 - flushed.lost;
        }
        assert!(lost > 0 && taken as usize * line.len() > PENDING_MAX, "{taken} of 200");
        for _ in 0..taken {
            assert_eq!(read(&mut reader, line.len()), line);
            sink.flush(now);
        }
        assert!(sink.is_empty() && sink.trouble.as_ref().is_some_and(|trouble| trouble.lost == lost));
        assert_eq!(sink.flush(now + SETTLED), Flushed::default());
        assert!(sink.trouble.is_none(), "and it works again");
    }

    #[test]
    fn a_reader_that_leaves_costs_what_was_not_written() {
        let (mut sink, reader) = pipe();
        drop(reader);
        assert_eq!(sink.write(b"one\ntwo\n".to_vec(), Instant::now()), Flushed { lost: 2, waits: true });
        assert!(sink.is_empty());
    }

    #[test]
    fn the_rest_of_a_line_that_was_begun_stands_before_everything_else() {
        let path = std::env::temp_dir().join(format!("balancer-sink-{}", std::process::id()));
        let mut sink = Sink::new("a file".into(), LineTarget::file(&path).unwrap());
        // As after a disk that was full in the middle of a line.
        (sink.pending, sink.begun) = (b"half\n".to_vec(), true);
        std::fs::write(&path, "first ").unwrap();
        sink.write(b"second\n".to_vec(), Instant::now());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first half\nsecond\n");
        // A file that somebody else left so gets its line ended first.
        std::fs::write(&path, "torn").unwrap();
        sink.replace("a file".into(), LineTarget::file(&path).unwrap());
        sink.write(b"third\n".to_vec(), Instant::now());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "torn\nthird\n");
        std::fs::remove_file(&path).unwrap();
    }
}
