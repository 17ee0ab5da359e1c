//! The access log: one line a request, formatted on the thread that served it, written by another.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::spawn_local;

use super::{Clock, Destination, Record, Writer};
use crate::config::{AccessLog as Config, AccessLogFormat, AccessLogPath};

/// The access log of one thread.
#[derive(Debug)]
pub struct AccessLog {
    format: AccessLogFormat,
    destination: Destination,
    writer: Writer,
    lines: RefCell<Vec<u8>>,
    stamp: RefCell<Stamp>,
    flushing: Cell<bool>,
}

/// The time of the last line; formatting one costs as much as the rest of the line.
#[derive(Debug)]
struct Stamp {
    clock: Clock,
    second: u64,
    text: String,
}

impl AccessLog {
    /// The log of a thread; `None` when it is off.
    pub fn new(config: &Config, writer: &Writer) -> Option<Rc<Self>> {
        let destination = match config.path {
            AccessLogPath::Stdout => Destination::Stdout,
            AccessLogPath::File(_) => Destination::File,
        };
        (config.format != AccessLogFormat::Off).then(|| {
            Rc::new(Self {
                format: config.format,
                destination,
                writer: writer.clone(),
                lines: RefCell::default(),
                stamp: RefCell::new(Stamp { clock: Clock::new(), second: 0, text: String::new() }),
                flushing: Cell::new(false),
            })
        })
    }

    /// From now on there is no runtime to wait with: lines are handed over when the log is dropped.
    pub fn close(&self) {
        self.flushing.set(true);
    }

    fn flush(&self) {
        let lines = self.lines.take();
        if !lines.is_empty() {
            self.writer.write(self.destination.clone(), lines);
        }
    }

    pub(super) fn write(self: Rc<Self>, record: &Record, now: Instant) {
        let took = now.saturating_duration_since(record.head.begun).as_secs_f64();
        {
            let mut lines = self.lines.borrow_mut();
            let mut stamp = self.stamp.borrow_mut();
            stamp.set(now, self.format);
            match self.format {
                AccessLogFormat::Combined => combined(&mut lines, &stamp.text, took, record),
                AccessLogFormat::Json => json(&mut lines, &stamp.text, took, record),
                AccessLogFormat::Off => return,
            }
            lines.push(b'\n');
        }
        if self.lines.borrow().len() >= BUFFER {
            self.flush();
        } else if !self.flushing.replace(true) {
            // Somebody at a terminal sees the line at once, and a thousand requests share one hand-over.
            spawn_local(async move {
                tokio::time::sleep(FLUSH).await;
                self.flushing.set(false);
                self.flush();
            });
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Stamp {
    fn set(&mut self, now: Instant, format: AccessLogFormat) {
        self.clock.set(now);
        let wall = self.clock.wall(now);
        if wall.as_secs() == self.second && !self.text.is_empty() {
            return;
        }
        self.second = wall.as_secs();
        let seconds = i64::try_from(wall.as_secs()).unwrap_or_default();
        let zoned = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::system());
        let pattern = match format {
            AccessLogFormat::Combined => "%d/%b/%Y:%H:%M:%S %z",
            _ => "%Y-%m-%dT%H:%M:%S%:z",
        };
        self.text.clear();
        let _ = write!(self.text, "{}", zoned.strftime(pattern));
    }
}

/// nginx's `combined`, then our fields; `-` where there is nothing to say.
fn combined(out: &mut Vec<u8>, time: &str, took: f64, record: &Record) {
    let head = &record.head;
    match head.client {
        Some(ip) => put(out, format_args!("{ip}")),
        None => out.extend_from_slice(b"unix:"),
    }
    put(out, format_args!(" - - [{time}] \""));
    match &head.line {
        Some((method, target, version)) => {
            escape(out, method.as_str().as_bytes(), Quote::Hex);
            out.push(b' ');
            escape_target(out, target, Quote::Hex);
            put(out, format_args!(" {version:?}"));
        }
        None => out.push(b'-'),
    }
    put(out, format_args!("\" {} {} \"", record.status.as_u16(), record.bytes));
    escape_field(out, head.referer.as_ref());
    out.extend_from_slice(b"\" \"");
    escape_field(out, head.agent.as_ref());
    put(out, format_args!("\" rt={took:.3}"));
    out.extend_from_slice(b" qt=0.000 ut=");
    match record.upstream {
        Some(upstream) => put(out, format_args!("{:.3}", upstream.as_secs_f64())),
        None => out.push(b'-'),
    }
    put(
        out,
        format_args!(
            " pool={} endpoint={} attempts={} reason={} id=",
            record.pool.as_deref().unwrap_or("-"),
            record.endpoint.as_deref().unwrap_or("-"),
            record.attempts,
            record.reason.unwrap_or("-"),
        ),
    );
    escape(out, head.id.as_bytes(), Quote::Hex);
}

/// One object a line; times in seconds, what is not known left out.
fn json(out: &mut Vec<u8>, time: &str, took: f64, record: &Record) {
    let head = &record.head;
    put(out, format_args!("{{\"time\":\"{time}\""));
    if let Some(ip) = head.client {
        put(out, format_args!(",\"client\":\"{ip}\""));
    }
    if let Some((method, target, version)) = &head.line {
        out.extend_from_slice(b",\"method\":\"");
        escape(out, method.as_str().as_bytes(), Quote::Json);
        out.extend_from_slice(b"\",\"target\":\"");
        escape_target(out, target, Quote::Json);
        put(out, format_args!("\",\"version\":\"{version:?}\""));
    }
    for (name, value) in [("host", &head.host), ("referer", &head.referer), ("user_agent", &head.agent)] {
        if let Some(value) = value {
            put(out, format_args!(",\"{name}\":\""));
            escape(out, value.as_bytes(), Quote::Json);
            out.push(b'"');
        }
    }
    put(out, format_args!(",\"status\":{},\"bytes\":{}", record.status.as_u16(), record.bytes));
    put(out, format_args!(",\"rt\":{took:.6},\"qt\":0"));
    if let Some(upstream) = record.upstream {
        put(out, format_args!(",\"ut\":{:.6}", upstream.as_secs_f64()));
    }
    for (name, value) in
        [("pool", record.pool.as_deref()), ("endpoint", record.endpoint.as_deref()), ("reason", record.reason)]
    {
        if let Some(value) = value {
            put(out, format_args!(",\"{name}\":\""));
            escape(out, value.as_bytes(), Quote::Json);
            out.push(b'"');
        }
    }
    put(out, format_args!(",\"attempts\":{},\"id\":\"", record.attempts));
    escape(out, head.id.as_bytes(), Quote::Json);
    out.extend_from_slice(b"\"}");
}

/// How a byte that cannot stand as it is is written.
#[derive(Debug, Clone, Copy)]
enum Quote {
    /// `\xHH`, as nginx does.
    Hex,
    /// `\u00HH`; bytes that are no UTF-8 become U+FFFD.
    Json,
}

fn escape_field(out: &mut Vec<u8>, value: Option<&HeaderValue>) {
    match value {
        Some(value) => escape(out, value.as_bytes(), Quote::Hex),
        None => out.push(b'-'),
    }
}

fn escape_target(out: &mut Vec<u8>, target: &http::Uri, quote: Quote) {
    // What came in origin-form is logged without being put together again.
    match (target.authority(), target.path_and_query()) {
        (None, Some(path)) => escape(out, path.as_str().as_bytes(), quote),
        _ => escape(out, target.to_string().as_bytes(), quote),
    }
}

fn escape(out: &mut Vec<u8>, bytes: &[u8], quote: Quote) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
        return;
    }
    match quote {
        Quote::Hex => {
            for byte in bytes {
                match byte {
                    byte if plain(byte) => out.push(*byte),
                    byte => put(out, format_args!("\\x{byte:02X}")),
                }
            }
        }
        Quote::Json => {
            for character in String::from_utf8_lossy(bytes).chars() {
                match character {
                    '"' | '\\' => put(out, format_args!("\\{character}")),
                    '\0'..'\x20' | '\x7f' => put(out, format_args!("\\u{:04x}", character as u32)),
                    _ => put(out, format_args!("{character}")),
                }
            }
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = std::io::Write::write_fmt(out, text);
}

const BUFFER: usize = 32 * 1024;
const FLUSH: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8], quote: Quote) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes, quote);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_a_client_sends_ends_a_line_or_a_quote() {
        assert_eq!(escaped(b"plain text/1.0", Quote::Hex), "plain text/1.0");
        assert_eq!(escaped(b"a\"b\\c\n\x1b[31m\xff", Quote::Hex), "a\\x22b\\x5Cc\\x0A\\x1B[31m\\xFF");
        assert_eq!(escaped("a\"b\\\n\u{7f}é".as_bytes(), Quote::Json), "a\\\"b\\\\\\u000a\\u007fé");
        assert_eq!(escaped(b"\xff", Quote::Json), "\u{fffd}");
    }
}
