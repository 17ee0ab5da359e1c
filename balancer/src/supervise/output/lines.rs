//! What workers print: taken off their pipes line by line and handed on, each line behind the worker's name.
//!
//! Decides where a line ends. Called by `spawn`, which hands over the pipes; the sink is given by `app`. Never tears a
//! line, never waits for the sink, and never holds more than one line and one read of each stream.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::files::WorkerLogFile;
use super::json;
use super::stream::{OutputSink, OutputStream};
use crate::observe::printable;

/// What is done with the lines of one worker.
#[derive(Clone)]
pub(in crate::supervise) struct Lines {
    /// Where they go.
    pub(in crate::supervise) to: Outlet,
    /// The text that shows readiness, and who waits for it.
    pub(in crate::supervise) awaited: Option<(Arc<str>, Arc<Notify>)>,
}

/// Where lines go, and in which form.
#[derive(Clone)]
pub(in crate::supervise) enum Outlet {
    /// Each behind this, `app.2 | `.
    Prefix(Arc<str>, OutputSink),
    /// Each as an object, with this name of the worker.
    Json(Arc<str>, OutputSink),
    /// As they are.
    File(WorkerLogFile),
    /// Nowhere.
    Null,
}

/// What a worker prints last; to be asked also once it has ended.
#[derive(Debug, Clone, Default)]
pub(in crate::supervise) struct Latest(Arc<Mutex<LastLines>>);

impl Latest {
    /// Its last line that is not empty.
    pub(in crate::supervise) fn line(&self) -> Option<Arc<str>> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.0.iter().rev().find(|line| !line.trim().is_empty()).map(|line| line.as_str().into())
    }
}

/// The readers of one worker's pipes.
#[derive(Debug)]
pub(in crate::supervise) struct Capture {
    last: Arc<Mutex<LastLines>>,
    readers: JoinSet<()>,
    ended: watch::Sender<bool>,
}

impl Capture {
    /// Begins to read.
    pub(in crate::supervise) fn start(
        stdout: Option<impl AsyncRead + Send + Unpin + 'static>,
        stderr: Option<impl AsyncRead + Send + Unpin + 'static>,
        lines: &Lines,
    ) -> Self {
        let (ended, _) = watch::channel(false);
        let mut capture = Self { last: Arc::default(), readers: JoinSet::new(), ended };
        if let Some(pipe) = stdout {
            capture.readers.spawn(read(pipe, OutputStream::Stdout, lines.clone(), capture.reader()));
        }
        if let Some(pipe) = stderr {
            capture.readers.spawn(read(pipe, OutputStream::Stderr, lines.clone(), capture.reader()));
        }
        capture
    }

    /// Once the worker's process has ended: reads what its pipes still hold, and returns its last lines, oldest first.
    ///
    /// Takes no longer than [`LINGER`], though a process that left the worker's group may keep the pipes open.
    pub(in crate::supervise) async fn finish(mut self) -> Vec<String> {
        self.ended.send_replace(true);
        while self.readers.join_next().await.is_some() {}
        self.last_lines()
    }

    /// Its last lines so far, oldest first.
    pub(in crate::supervise) fn last_lines(&self) -> Vec<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).0.iter().cloned().collect()
    }

    /// Its last line from now on.
    pub(in crate::supervise) fn latest(&self) -> Latest {
        Latest(Arc::clone(&self.last))
    }

    fn reader(&self) -> (Arc<Mutex<LastLines>>, watch::Receiver<bool>) {
        (Arc::clone(&self.last), self.ended.subscribe())
    }
}

async fn read(
    mut pipe: impl AsyncRead + Unpin,
    stream: OutputStream,
    lines: Lines,
    (last, mut ended): (Arc<Mutex<LastLines>>, watch::Receiver<bool>),
) {
    let mut closing = pin!(async move {
        // An error means that nobody is left to say so: the same.
        let _ = ended.wait_for(|ended| *ended).await;
        tokio::time::sleep(LINGER).await;
    });
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut whole = Vec::new();
    let take = |whole: &mut Vec<u8>, line: &[u8]| {
        last.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        if let Some((text, waiting)) = &lines.awaited
            && line.windows(text.len().max(1)).any(|window| window == text.as_bytes())
        {
            waiting.notify_one();
        }
        lines.to.append(whole, stream, line);
    };
    loop {
        let read = tokio::select! {
            read = pipe.read(&mut buffer) => read,
            () = &mut closing => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(length) => splitter.feed(&buffer[..length], |line| take(&mut whole, line)),
        }
        // All that came at once goes on at once: a worker that floods costs one hand-over for many lines.
        lines.to.flush(&mut whole, stream);
    }
    splitter.finish(|line| take(&mut whole, line));
    lines.to.flush(&mut whole, stream);
}

impl Outlet {
    fn append(&self, whole: &mut Vec<u8>, stream: OutputStream, line: &[u8]) {
        match self {
            Self::Prefix(prefix, _) => {
                // Among the lines of others: it may not look like one of these.
                whole.extend_from_slice(prefix.as_bytes());
                printable::push_line(whole, line);
                whole.push(b'\n');
            }
            Self::Json(worker, _) => json::append(whole, worker, stream, line),
            Self::File(_) => whole.extend([line, b"\n"].into_iter().flatten()),
            Self::Null => {}
        }
    }

    fn flush(&self, whole: &mut Vec<u8>, stream: OutputStream) {
        if whole.is_empty() {
            return;
        }
        match self {
            Self::Prefix(_, sink) | Self::Json(_, sink) => sink(stream, whole),
            Self::File(file) => file.write(whole),
            Self::Null => {}
        }
        whole.clear();
    }
}

/// Makes lines of pieces.
#[derive(Debug, Default)]
struct Splitter {
    line: Vec<u8>,
}

impl Splitter {
    /// Calls `take` for each line that `bytes` completes, without its newline.
    fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, complete) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            self.line.extend_from_slice(piece);
            while self.line.len() > LINE_BYTES_MAX {
                let rest = self.line.split_off(cut(&self.line));
                self.line.extend_from_slice(CONTINUES);
                take(&self.line);
                self.line = rest;
            }
            if complete {
                take(&self.line);
                self.line.clear();
            }
        }
    }

    /// Calls `take` for a last line that has no newline.
    fn finish(self, mut take: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            take(&self.line);
        }
    }
}

/// Where a line that is too long is cut: not inside a character of UTF-8, if it is UTF-8.
fn cut(line: &[u8]) -> usize {
    let is_boundary = |at: &usize| line[*at] & 0b1100_0000 != 0b1000_0000;
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(is_boundary).unwrap_or(LINE_BYTES_MAX)
}

/// The last lines, for messages: text without active characters, cut to a readable length.
#[derive(Debug, Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    fn push(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LAST_LINE_BYTES_MAX)]);
        let text =
            text.trim_end().chars().map(|c| if printable::is_active(c) && c != '\t' { '?' } else { c }).collect();
        if self.0.len() == LAST_LINES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(text);
    }
}

const READ_BYTES: usize = 8 * 1024;
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Ends a piece of a line that goes on in the next.
const CONTINUES: &[u8] = " …".as_bytes();
const LAST_LINES_MAX: usize = 20;
const LAST_LINE_BYTES_MAX: usize = 500;
/// How long the pipes are read after the worker's end when somebody still holds them.
const LINGER: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut splitter = Splitter::default();
        for piece in pieces {
            splitter.feed(piece, |line| lines.push(line.to_vec()));
        }
        splitter.finish(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(split(&[b"on", b"e\ntwo\n\nla", b"st"]), [&b"one"[..], b"two", b"", b"last"]);
        assert_eq!(split(&[b"\xff\xfe\n"]), [b"\xff\xfe"]);
        assert!(split(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_split_with_a_mark_and_loses_nothing() {
        let long = ["é".repeat(20_000).as_bytes(), b"x"].concat();
        let lines = split(&[&long[..7], &long[7..30_000], &long[30_000..], b"\n"]);
        assert_eq!(lines.len(), 3);
        let pieces: Vec<_> = lines.iter().map(|line| line.strip_suffix(CONTINUES).unwrap_or(line)).collect();
        assert!(pieces.iter().all(|piece| std::str::from_utf8(piece).is_ok() && piece.len() <= LINE_BYTES_MAX));
        assert_eq!(pieces.concat(), long);
        assert!(lines[0].ends_with(CONTINUES) && !lines[2].ends_with(CONTINUES));
        assert_eq!(split(&[&[0x80; 20_000]]).len(), 2, "what is not UTF-8 is cut anyway");
        assert_eq!(split(&[&[b'x'; LINE_BYTES_MAX], b"\n"]).len(), 1);
    }

    fn lines(awaited: Option<&str>) -> (Lines, Arc<Mutex<Vec<u8>>>, Arc<Notify>) {
        let (written, seen) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let sink: OutputSink = Arc::new({
            let written = Arc::clone(&written);
            move |_, bytes| written.lock().unwrap().extend_from_slice(bytes)
        });
        let awaited = awaited.map(|text| (text.into(), Arc::clone(&seen)));
        (Lines { to: Outlet::Prefix("app.1 | ".into(), sink), awaited }, written, seen)
    }

    #[tokio::test]
    async fn each_line_has_the_workers_name_and_the_last_ones_are_kept() {
        let (lines, written, _) = lines(None);
        let (mut worker, pipe) = duplex(64);
        let capture = Capture::start(Some(pipe), None::<DuplexStream>, &lines);
        for line in 1..=25 {
            worker.write_all(format!("line {line}\x1b\n").as_bytes()).await.unwrap();
        }
        worker.write_all(b"end").await.unwrap();
        drop(worker);
        let latest = capture.latest();
        let last = capture.finish().await;
        assert_eq!(latest.line().as_deref(), Some("end"));
        assert_eq!((last.len(), last[0].as_str(), last[19].as_str()), (20, "line 7?", "end"));
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("app.1 | line 1\\u001b\napp.1 | line 2\\u001b\n"), "{written}");
        assert!(written.ends_with("app.1 | end\n"), "{written}");
    }

    #[tokio::test]
    async fn the_awaited_line_is_noticed() {
        let (lines, _, seen) = lines(Some("Listening"));
        let (mut worker, pipe) = duplex(64);
        let _capture = Capture::start(None::<DuplexStream>, Some(pipe), &lines);
        worker.write_all(b"Loading\nnow Listening on 1\n").await.unwrap();
        seen.notified().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_stays_open_is_given_up() {
        let (lines, written, _) = lines(None);
        let (mut grandchild, pipe) = duplex(64);
        let capture = Capture::start(Some(pipe), None::<DuplexStream>, &lines);
        grandchild.write_all(b"held").await.unwrap();
        assert_eq!(capture.finish().await, ["held"]);
        assert_eq!(*written.lock().unwrap(), b"app.1 | held\n");
    }
}
