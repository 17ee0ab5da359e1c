//! The open-loop generator: a program of its own, started by compare on the generator's core.
//!
//! Decides when a request is due (Poisson arrivals, the same ones in every run), on which connection it goes, and when it is
//! answered. Called by `main` for the hidden command `open-loop`. Never slows down because answers are late: a request that
//! finds no free connection waits here, and its wait counts.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::arguments::OpenLoop;
use crate::failure::Failure;
use crate::plot;
use crate::tool::OPEN_PERCENTS;

/// What is printed; [`crate::tool`] reads it.
pub(crate) struct Report {
    pub(crate) seconds: f64,
    /// Not answered, answered with a status other than 2xx, or cut.
    pub(crate) failed: u64,
    /// From due to answered, of every answered request.
    pub(crate) microseconds: Vec<u32>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.microseconds.clone();
        sorted.sort_unstable();
        writeln!(f, "requests: {}\nfailed: {}\nseconds: {}", sorted.len(), self.failed, self.seconds)?;
        for percent in OPEN_PERCENTS {
            // The smallest value that so many per cent do not exceed.
            let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
            if let Some(value) = sorted.get(rank.saturating_sub(1)) {
                writeln!(f, "percentile {percent}: {value} us")?;
            }
        }
        let latencies: Vec<f64> = sorted.into_iter().map(f64::from).collect();
        plot::curve(&latencies).into_iter().try_for_each(|(percent, value)| writeln!(f, "curve {percent} {value}"))
    }
}

/// Loads `given.port` and says how it went.
///
/// # Errors
/// No connection to begin with, or a refusal of the system.
pub(crate) fn run(given: &OpenLoop) -> Result<Report, Failure> {
    Generator::connect(given).and_then(Generator::run).map_err(|e| Failure::system("load in an open loop", e))
}

struct Generator<'a> {
    given: &'a OpenLoop,
    request: Vec<u8>,
    epoll: Epoll,
    timer: TimerFd,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// When each request that waits for a connection was due.
    due: VecDeque<Instant>,
    report: Report,
}

struct Connection {
    stream: TcpStream,
    /// When its request was due; `None` while it is idle.
    due: Option<Instant>,
    received: Vec<u8>,
}

impl Generator<'_> {
    fn connect(given: &OpenLoop) -> io::Result<Generator<'_>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let mut connections = Vec::new();
        for nth in 0..given.connections {
            let stream = open(given.port)?;
            epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, u64::from(nth)))?;
            connections.push(Connection { stream, due: None, received: Vec::new() });
        }
        let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", given.path).into_bytes();
        let idle = (0..connections.len()).collect();
        let report = Report { seconds: 0.0, failed: 0, microseconds: Vec::new() };
        Ok(Generator { given, request, epoll, timer, connections, idle, due: VecDeque::new(), report })
    }

    fn run(mut self) -> io::Result<Report> {
        let (started, length) = (Instant::now(), Duration::from_secs(self.given.seconds.into()));
        let mut arrivals = Arrivals::new(self.given.rate);
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let now = Instant::now();
            let over = now >= started + length;
            match arrivals.next {
                Some(_) if over => arrivals.next = None,
                // No rate: whoever is free asks.
                None if !over && self.given.rate == 0 => self.due.extend(self.idle.iter().map(|_| now)),
                _ => {}
            }
            while let Some(due) = arrivals.pop(started, now) {
                self.due.push_back(due);
            }
            self.send();
            let waiting = self.connections.len() - self.idle.len() + self.due.len();
            if over && (waiting == 0 || now >= started + length + DRAIN) {
                self.report.failed += waiting as u64;
                // Late answers take longer than the arrivals did, and the rate says so.
                self.report.seconds = started.elapsed().as_secs_f64();
                return Ok(self.report);
            }
            let next = arrivals.next.map_or(started + length, |offset| started + offset);
            self.wake_at(if over { now + BETWEEN_LOOKS } else { next })?;
            let ready = self.epoll.wait(&mut events, EpollTimeout::NONE)?;
            for event in &events[..ready] {
                if event.data() != TIMER {
                    self.receive(usize::try_from(event.data()).unwrap_or(usize::MAX))?;
                }
            }
        }
    }

    /// Sends what is due as long as there is a free connection.
    fn send(&mut self) {
        while let (Some(&nth), Some(&due)) = (self.idle.last(), self.due.front()) {
            self.idle.pop();
            self.due.pop_front();
            let connection = &mut self.connections[nth];
            connection.due = Some(due);
            connection.received.clear();
            // A refused write is seen as an end of the connection by the next look at it.
            let _ = connection.stream.write_all(&self.request);
        }
    }

    fn receive(&mut self, nth: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(nth) else { return Ok(()) };
        let mut piece = [0; 16_384];
        let outcome = match connection.stream.read(&mut piece) {
            Ok(0) => Outcome::Broken,
            Ok(length) => {
                connection.received.extend_from_slice(&piece[..length]);
                outcome(&connection.received)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Outcome::Unfinished,
            Err(_) => Outcome::Broken,
        };
        let due = match outcome {
            Outcome::Unfinished => return Ok(()),
            _ => connection.due.take(),
        };
        match (outcome, due) {
            (Outcome::Answered, Some(due)) => {
                self.report.microseconds.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                self.idle.push(nth);
            }
            (Outcome::Refused, Some(_)) => {
                self.report.failed += 1;
                self.idle.push(nth);
            }
            (_, due) => {
                // Closing an idle connection is anybody's right; only a request on it is lost.
                self.report.failed += u64::from(due.is_some());
                let stream = open(self.given.port)?;
                self.epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, nth as u64))?;
                self.connections[nth].stream = stream;
                if due.is_some() {
                    self.idle.push(nth);
                }
            }
        }
        Ok(())
    }

    fn wake_at(&self, moment: Instant) -> io::Result<()> {
        // Zero would disarm it.
        let left = moment.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        Ok(self.timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?)
    }
}

/// When requests are due, as offsets from the start.
struct Arrivals {
    next: Option<Duration>,
    rate: u32,
    state: u64,
}

impl Arrivals {
    fn new(rate: u32) -> Arrivals {
        let mut arrivals = Arrivals { next: None, rate, state: SEED };
        if rate > 0 {
            arrivals.next = Some(arrivals.interval());
        }
        arrivals
    }

    /// The next arrival that is due by `now`.
    fn pop(&mut self, started: Instant, now: Instant) -> Option<Instant> {
        let offset = self.next.filter(|offset| started + *offset <= now)?;
        self.next = Some(offset + self.interval());
        Some(started + offset)
    }

    /// Exponentially distributed: requests of many clients who know nothing of each other.
    fn interval(&mut self) -> Duration {
        // xorshift64* (Vigna 2016): the same arrivals for everybody who is compared.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let share = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-share.ln() / f64::from(self.rate))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Unfinished,
    Answered,
    /// A whole answer with a status other than 2xx.
    Refused,
    /// Closed, or no answer we can find the end of.
    Broken,
}

fn outcome(received: &[u8]) -> Outcome {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if received.len() > HEAD_MAX { Outcome::Broken } else { Outcome::Unfinished };
    };
    let Ok(head) = std::str::from_utf8(&received[..end]) else { return Outcome::Broken };
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let Some(length) = length else { return Outcome::Broken };
    match received.len().cmp(&(end + 4 + length)) {
        std::cmp::Ordering::Less => Outcome::Unfinished,
        std::cmp::Ordering::Greater => Outcome::Broken,
        std::cmp::Ordering::Equal if status.starts_with('2') => Outcome::Answered,
        std::cmp::Ordering::Equal => Outcome::Refused,
    }
}

fn open(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_TIME)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// No connection's number.
const TIMER: u64 = u64::MAX;
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const HEAD_MAX: usize = 64 * 1024;
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// What answers may be late by after the last arrival; then they count as failed.
const DRAIN: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_the_same_each_time_and_as_many_as_asked_for() {
        let offsets = || {
            let (mut arrivals, started) = (Arrivals::new(1_000), Instant::now());
            let end = started + Duration::from_secs(100);
            std::iter::from_fn(|| arrivals.pop(started, end)).map(|due| due - started).collect::<Vec<_>>()
        };
        let first = offsets();
        assert!((99_000..101_000).contains(&first.len()), "{}", first.len());
        assert_eq!(first, offsets());
        // Exponential: a share of 1 - 1/e of the gaps is shorter than their mean.
        let short = first.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_millis(1)).count();
        assert!((0.62..0.645).contains(&(short as f64 / first.len() as f64)), "{short}");
    }

    #[test]
    fn an_answer_ends_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(outcome(answer), Outcome::Answered);
        assert_eq!(outcome(&answer[..answer.len() - 1]), Outcome::Unfinished);
        assert_eq!(outcome(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), Outcome::Refused);
        assert_eq!(outcome(b"HTTP/1.1 200 OK\r\n\r\n"), Outcome::Broken);
        assert_eq!(outcome(&vec![b'x'; HEAD_MAX + 1]), Outcome::Broken);
    }

    #[test]
    fn a_late_answer_delays_what_was_due_meanwhile_and_counts() {
        // One connection and an origin that takes its time with the first answer.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let pause = Duration::from_millis(300);
        let origin = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut piece = [0; 512];
            let mut first = true;
            while stream.read(&mut piece).unwrap() > 0 {
                let begun = Instant::now();
                while std::mem::take(&mut first) && begun.elapsed() < pause {
                    std::thread::park_timeout(pause.saturating_sub(begun.elapsed()));
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            }
        });
        let report = run(&OpenLoop { port, path: "/".into(), rate: 100, seconds: 1, connections: 1 }).unwrap();
        origin.join().unwrap();
        assert_eq!(report.failed, 0);
        assert!((70..130).contains(&report.microseconds.len()), "{}", report.microseconds.len());
        // About 30 were due during the pause; a closed loop would have noticed one.
        let late = report.microseconds.iter().filter(|&&microseconds| microseconds > 50_000).count();
        assert!(late > 10, "{late}");
    }
}
