//! Diagnostics: tracing events as lines on stderr.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::observe::{Destination, Writer, printable};

/// Begins to write events of `level` (a level, or a filter as in `RUST_LOG`) through `writer`, so that a stderr nobody reads
/// stops no thread.
///
/// # Errors
/// A sentence, when the level cannot be understood; a misspelt one would be taken for the name of a crate, and silence all.
pub(super) fn start(level: &str, writer: &Writer) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).ok().filter(|_| level.split(',').all(is_level_or_has_one));
    let filter = filter.ok_or_else(|| format!("--log-level (or RUST_LOG) {level}: {EXPECTED}"))?;
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = Lines(writer.clone());
    let format =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines).with_ansi(color).with_target(false);
    format.try_init().map_err(|error| error.to_string())
}

/// Whether a part of a filter is `info` or `hyper=info`, and not a bare word.
fn is_level_or_has_one(part: &str) -> bool {
    part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok()
}

#[derive(Debug)]
struct Lines(Writer);

/// One event's line, queued as a whole.
#[derive(Debug)]
struct EventLine<'a> {
    writer: &'a Writer,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = EventLine<'a>;

    fn make_writer(&'a self) -> EventLine<'a> {
        EventLine { writer: &self.0, bytes: Vec::new() }
    }
}

impl Write for EventLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventLine<'_> {
    fn drop(&mut self) {
        // What a message repeats may be a client's or a worker's.
        let text = printable::lines(&String::from_utf8_lossy(&self.bytes));
        self.writer.write(Destination::Stderr, text.into_bytes());
    }
}

const EXPECTED: &str = "write error, warn, info, debug, trace or off, or a filter as in warn,balancer=debug";
