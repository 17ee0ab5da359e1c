//! One exchange of a classic server, on a blocking socket.
//!
//! Decides what a connection is answered and when it is closed. Called by the threads of `models`. Never accepts, and never starts a thread.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use http::Uri;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use crate::head::Head;
use crate::query::Query;
use crate::queue::Queue;
use crate::source::Source;
use crate::worker::Worker;
use crate::{Model, cpu, report};

/// What all threads of a classic server share.
pub(crate) struct Shared {
    pub(crate) worker: Arc<Worker>,
    pub(crate) source: Arc<Source>,
    /// Of the model pool.
    pub(crate) queue: Option<Arc<Queue<Connection>>>,
    /// Of `--slots`.
    pub(crate) slots: Option<Slots>,
    pub(crate) stopping: AtomicBool,
    /// The connections being served or waiting for a thread, and whether each has brought a request.
    pub(crate) open: Mutex<HashMap<u64, (Socket, Arc<AtomicBool>)>>,
    pub(crate) next: AtomicU64,
}

/// Requests that may be worked on at once.
pub(crate) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them; another may be worked on once it is dropped.
struct Slot<'s>(&'s Slots);

impl Slots {
    pub(crate) fn new(count: usize) -> Slots {
        Slots { free: Mutex::new(count), freed: Condvar::new() }
    }

    fn take(&self) -> Slot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// What follows on a connection.
#[derive(PartialEq)]
enum Next {
    Request,
    Close,
}

impl Shared {
    pub(crate) fn open(&self) -> MutexGuard<'_, HashMap<u64, (Socket, Arc<AtomicBool>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads that wait for bytes of such a connection read the end; what was received can still be read.
    pub(crate) fn end_reading(&self, of: impl Fn(bool) -> bool) {
        for (socket, _) in self.open().values().filter(|(_, asked)| of(asked.load(Ordering::SeqCst))) {
            // What fails was closed already.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Serves a connection until its end. What goes wrong on it concerns its client alone.
    pub(crate) fn serve(&self, connection: Connection) {
        let _open = self.worker.connection_opened();
        let mut socket = &connection.socket;
        let mut reader = BufReader::new(&connection.socket);
        let mut first = true;
        loop {
            let said = match self.exchange(&mut reader, first, &connection.asked) {
                Ok(Next::Request) => None,
                Ok(Next::Close) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(BAD_REQUEST),
                Err(error) if is_timeout(&error) && self.worker.options.timeout.is_some() => Some(TIMED_OUT),
                Err(_) => break,
            };
            if let Some(answer) = said {
                let _ = socket.write_all(answer);
                break;
            }
            first = false;
        }
        let _ = connection.socket.shutdown(Shutdown::Write);
        self.open().remove(&connection.id);
        drop(connection);
        self.source.closed();
    }

    fn is_sequential(&self) -> bool {
        self.worker.options.model == Model::Sequential
    }

    /// Is there a connection that was not accepted yet?
    fn someone_waits(&self) -> bool {
        let mut source = [PollFd::new(self.source.as_fd(), PollFlags::POLLIN)];
        poll(&mut source, PollTimeout::ZERO).is_ok() && source[0].revents() == Some(PollFlags::POLLIN)
    }

    /// One request, one answer; whether another may follow.
    fn exchange(&self, reader: &mut BufReader<&Socket>, first: bool, asked: &AtomicBool) -> io::Result<Next> {
        let mut socket = *reader.get_ref();
        let options = &self.worker.options;
        if !first {
            // Nothing is owed to a client that asks nothing more.
            let idle = options.keep_alive_timeout.or(options.timeout);
            socket.set_read_timeout(idle)?;
            match reader.fill_buf() {
                Err(error) if is_timeout(&error) => return Ok(Next::Close),
                begun => begun?,
            };
        }
        socket.set_read_timeout(options.timeout.or(options.keep_alive_timeout))?;
        let Some(head) = Head::read(reader)? else { return Ok(Next::Close) };
        asked.store(true, Ordering::SeqCst);
        let target: Uri = head.target.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let stats = || (target.path() == "/stats").then(|| self.stats());
        let looked = report::observed(&self.worker, &target).or_else(stats);
        if let Some(lines) = looked {
            socket.write_all(&answer(lines.as_bytes(), head.method == "HEAD", false))?;
            return Ok(Next::Close);
        }
        let _in_flight = self.worker.request_begun();
        let Some(length) = head.body_length else {
            socket.write_all(LENGTH_REQUIRED)?;
            return Ok(Next::Close);
        };
        if head.expects_continue && length > 0 {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if io::copy(&mut reader.by_ref().take(length), &mut io::sink())? < length {
            return Ok(Next::Close);
        }
        self.work(&target)?;
        // Looked at before the answer: who comes after it has done nothing wrong.
        if self.is_sequential() && self.someone_waits() {
            self.worker.overlapped();
        }
        let keep_alive = options.keeps_alive() && head.keep_alive && !self.stopping.load(Ordering::SeqCst);
        socket.write_all(&answer(&self.worker.greeting, head.method == "HEAD", keep_alive))?;
        Ok(if keep_alive { Next::Request } else { Next::Close })
    }

    /// What the request costs.
    fn work(&self, target: &Uri) -> io::Result<()> {
        let _slot = self.slots.as_ref().map(Slots::take);
        cpu::burn(self.worker.options.work().cpu);
        pause(self.worker.delay());
        if target.path() == "/delay" {
            let ms = Query::of(target).number("ms", 100, 0..=600_000).map_err(|_| io::ErrorKind::InvalidData)?;
            pause(Duration::from_millis(ms));
        }
        Ok(())
    }

    fn stats(&self) -> String {
        report::stats(&self.worker, self.queue.as_ref().map(|queue| queue.load()))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// An accepted connection and its place in the list of open ones.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) socket: Socket,
    pub(crate) asked: Arc<AtomicBool>,
}

fn answer(greeting: &[u8], head_only: bool, keep_alive: bool) -> Vec<u8> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = greeting.len();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes();
    if !head_only {
        answer.extend_from_slice(greeting);
    }
    answer
}

/// Blocks this thread.
#[expect(clippy::disallowed_methods, reason = "these models block a thread; that is what they are here to show")]
pub(crate) fn pause(time: Duration) {
    if !time.is_zero() {
        thread::sleep(time);
    }
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const LENGTH_REQUIRED: &[u8] = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
