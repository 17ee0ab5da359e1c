//! The access log: one line a request, formatted on the thread that served it, written by another.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::batch::Batch;
use super::line::{LogLine, Quote};
use super::story::Story;
use super::{Clock, Destination, Writer};
use crate::config::{AccessLog as Config, AccessLogFormat, AccessLogPath};
use crate::http1::{Name, RequestHead};

/// The access log of one thread.
#[derive(Debug)]
pub struct AccessLog {
    format: AccessLogFormat,
    destination: Destination,
    writer: Writer,
    /// The one that the last line was put into: the thread that writes takes it, and a thousand requests share one hand-over.
    batch: RefCell<Batch>,
    stamp: RefCell<Stamp>,
    sample: Sample,
}

/// Which of the requests that went well get a line.
#[derive(Debug)]
struct Sample {
    /// Of all numbers of 32 bits, those below it.
    below: u64,
    /// The last one drawn, never 0.
    drawn: Cell<u32>,
}

/// Time and client of the last line; formatting a time costs as much as the rest of the line.
#[derive(Debug, Default)]
struct Stamp {
    clock: Clock,
    second: u64,
    /// Nanoseconds behind it.
    nanos: u32,
    text: String,
    /// How far from UTC.
    zone: String,
    /// Who sent the last request: nearly always who sends the next.
    client: Option<IpAddr>,
    client_text: String,
}

impl AccessLog {
    /// The log of a thread; `None` when it is off.
    pub fn new(config: &Config, writer: &Writer) -> Option<Self> {
        let destination = match config.path {
            AccessLogPath::Stdout => Destination::Stdout,
            AccessLogPath::Stderr => Destination::Stderr,
            AccessLogPath::File(_) => Destination::File,
        };
        (config.format != AccessLogFormat::Off).then(|| Self {
            format: config.format,
            destination,
            writer: writer.clone(),
            batch: RefCell::default(),
            stamp: RefCell::default(),
            sample: Sample::new(config.sample),
        })
    }

    /// Tells of a request that was over at `now` and took so long.
    pub(super) fn write(&self, story: &Story, now: Instant, took: Duration) {
        let went_well = story.reason.is_none() && !story.status.is_server_error();
        if went_well && !self.sample.takes() {
            return;
        }
        let line = |lines: &mut Vec<u8>| self.line(lines, story, now, took);
        let mut batch = self.batch.borrow_mut();
        if !batch.add(line) {
            *batch = Batch::begin(line);
            self.writer.collect(self.destination, &batch);
        }
    }

    fn line(&self, lines: &mut Vec<u8>, story: &Story, now: Instant, took: Duration) {
        let mut stamp = self.stamp.borrow_mut();
        stamp.set(now, self.format);
        stamp.of(story.head.client);
        match self.format {
            AccessLogFormat::Combined => combined(&mut LogLine(lines), &stamp, took, story),
            AccessLogFormat::Json => json(&mut LogLine(lines), &stamp, took, story),
            AccessLogFormat::Off => return,
        }
        lines.push(b'\n');
    }
}

impl Sample {
    /// A share of 0.0 to 1.0.
    fn new(share: f64) -> Self {
        Self { below: (share * ALL as f64) as u64, drawn: Cell::new(rand::random::<u32>() | 1) }
    }

    /// Whether the next one is among them. At random: every hundredth of requests that come in a rhythm would always be the same.
    fn takes(&self) -> bool {
        if self.below >= ALL {
            return true;
        }
        // Marsaglia's xorshift, of which no bit has to surprise anybody.
        let mut drawn = self.drawn.get();
        drawn ^= drawn << 13;
        drawn ^= drawn >> 17;
        drawn ^= drawn << 5;
        self.drawn.set(drawn);
        u64::from(drawn) < self.below
    }
}

impl Stamp {
    fn of(&mut self, client: Option<IpAddr>) {
        if self.client != client || self.client_text.is_empty() {
            self.client = client;
            self.client_text = client.map_or_else(|| "unix:".to_owned(), |ip| ip.to_string());
        }
    }

    fn set(&mut self, now: Instant, format: AccessLogFormat) {
        let wall = self.clock.wall_of_now(now);
        self.nanos = wall.subsec_nanos();
        if wall.as_secs() == self.second && !self.text.is_empty() {
            return;
        }
        self.second = wall.as_secs();
        let seconds = i64::try_from(wall.as_secs()).unwrap_or_default();
        let zoned = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::system());
        let pattern = match format {
            AccessLogFormat::Combined => "%d/%b/%Y:%H:%M:%S %z",
            _ => "%Y-%m-%dT%H:%M:%S",
        };
        self.text.clear();
        self.zone.clear();
        let _ = write!(self.text, "{}", zoned.strftime(pattern));
        let _ = write!(self.zone, "{}", zoned.strftime("%:z"));
    }
}

/// What a request says that a line repeats.
#[derive(Default)]
struct Repeated<'a> {
    host: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
}

impl<'a> Repeated<'a> {
    fn of(request: Option<&'a RequestHead>) -> Self {
        let mut said = Self::default();
        for field in request.into_iter().flat_map(|request| request.fields.iter()) {
            match field.name {
                Name::Host => said.host = said.host.or(Some(field.value)),
                Name::Referer => said.referer = said.referer.or(Some(field.value)),
                Name::UserAgent => said.agent = said.agent.or(Some(field.value)),
                _ => {}
            }
        }
        said
    }
}

/// nginx's `combined`, then our fields; `-` where there is nothing to say.
fn combined(out: &mut LogLine<'_>, stamp: &Stamp, took: Duration, story: &Story) {
    let head = &story.head;
    out.text(&stamp.client_text).text(" - - [").text(&stamp.text).text("] \"");
    let said = Repeated::of(head.request.as_deref());
    match &head.request {
        Some(request) => {
            out.text(request.method.as_str()).text(" ").escaped(request.target_bytes(), Quote::Hex);
            out.text(" ").version(request.version)
        }
        None => out.text("-"),
    };
    out.text("\" ").text(story.status.as_str()).text(" ").number(story.bytes).text(" \"");
    out.field(said.referer, Quote::Hex).text("\" \"").field(said.agent, Quote::Hex);
    out.text("\" rt=").seconds::<MILLIS>(took);
    match story.queued.is_zero() {
        true => out.text(" qt=0.000 ut="),
        false => out.text(" qt=").seconds::<MILLIS>(story.queued).text(" ut="),
    };
    match story.upstream {
        Some(upstream) => out.seconds::<MILLIS>(upstream),
        None => out.text("-"),
    };
    out.text(" pool=").text(story.pool.as_deref().unwrap_or("-"));
    out.text(" endpoint=").text(story.endpoint().unwrap_or("-"));
    out.text(" attempts=").number(story.attempts.into());
    out.text(" reason=").text(story.reason.unwrap_or("-"));
    // The date before it has whole seconds.
    out.text(" t=").number(stamp.second).micros(stamp.nanos).text(" id=").ascii(&head.id);
}

/// One object a line; times in seconds, what is not known left out.
fn json(out: &mut LogLine<'_>, stamp: &Stamp, took: Duration, story: &Story) {
    let head = &story.head;
    out.text("{\"time\":\"").text(&stamp.text).micros(stamp.nanos).text(&stamp.zone).text("\"");
    if let Some(ip) = head.client {
        out.text(",\"client\":\"").address(ip).text("\"");
    }
    if let Some(request) = &head.request {
        out.text(",\"method\":\"").escaped(request.method.as_str().as_bytes(), Quote::Json);
        out.text("\",\"target\":\"").escaped(request.target_bytes(), Quote::Json);
        out.text("\",\"version\":\"").version(request.version).text("\"");
    }
    let said = Repeated::of(head.request.as_deref());
    for (name, value) in [("host", said.host), ("referer", said.referer), ("user_agent", said.agent)] {
        if value.is_some() {
            out.text(",\"").text(name).text("\":\"").field(value, Quote::Json).text("\"");
        }
    }
    out.text(",\"status\":").number(story.status.as_u16().into()).text(",\"bytes\":").number(story.bytes);
    out.text(",\"rt\":").seconds::<MICROS>(took).text(",\"qt\":");
    match story.queued.is_zero() {
        true => out.text("0"),
        false => out.seconds::<MICROS>(story.queued),
    };
    if let Some(upstream) = story.upstream {
        out.text(",\"ut\":").seconds::<MICROS>(upstream);
    }
    for (name, value) in [("pool", story.pool.as_deref()), ("endpoint", story.endpoint()), ("reason", story.reason)] {
        if let Some(value) = value {
            out.text(",\"").text(name).text("\":\"").escaped(value.as_bytes(), Quote::Json).text("\"");
        }
    }
    out.text(",\"attempts\":").number(story.attempts.into());
    out.text(",\"id\":\"").ascii(&head.id).text("\"}");
}

/// As many as there are numbers of 32 bits.
const ALL: u64 = 1 << 32;
/// Digits behind the point.
const MILLIS: usize = 3;
const MICROS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_its_share() {
        let taken = |share: f64| {
            let sample = Sample::new(share);
            (0..100_000).filter(|_| sample.takes()).count()
        };
        assert_eq!((taken(1.0), taken(0.0)), (100_000, 0));
        for share in [0.01, 0.25, 0.5] {
            let (taken, expected) = (taken(share) as f64, share * 100_000.0);
            assert!((taken - expected).abs() < expected / 5.0, "{taken} of {expected}");
        }
    }
}
