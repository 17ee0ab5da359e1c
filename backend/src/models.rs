//! The classic server models, on blocking sockets: one connection at a time, a thread each, a pool of threads.
//!
//! Decides which thread serves which connection. Called by `serve` where the event loop is not asked for. Of the
//! routes it knows `/delay`, `/info` and `/seen`; every other request gets the worker's name. As in the textbooks, what still waits in the kernel's backlog at a drain
//! is lost.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use http::Uri;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;
use tokio::sync::mpsc;

use crate::head::Head;
use crate::listen::Listener;
use crate::query::Query;
use crate::worker::Worker;
use crate::{Model, cpu, report};

/// A classic server at work on threads of its own.
pub(crate) struct Server {
    shared: Arc<Shared>,
    listener: Listener,
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// # Errors
    /// The first threads could not be started.
    pub(crate) fn start(worker: Arc<Worker>, listener: Listener) -> io::Result<Server> {
        let (alive, ended) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            worker,
            listener: listener.socket.try_clone()?,
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        });
        let accept = Accept { shared: shared.clone(), listener: listener.socket.try_clone()?, alive };
        let model = shared.worker.options.model;
        let pool = if model == Model::ThreadPool { Some(accept.start_pool()?) } else { None };
        thread::Builder::new().name("accept".into()).spawn(move || match (model, pool) {
            (_, Some(queue)) => accept.each(|socket| drop(queue.send(socket))),
            (Model::ThreadPerConnection, _) => accept.each(|socket| accept.spawn(socket)),
            _ => accept.each(|socket| accept.shared.serve(socket, false)),
        })?;
        Ok(Server { shared, listener, ended })
    }

    /// Stops accepting, ends idle connections, and comes back when the last request is answered.
    pub(crate) async fn drain(mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // This wakes the thread in `accept`; what fails was closed already, here and below.
        let _ = self.listener.socket.shutdown(Shutdown::Read);
        drop(self.listener);
        for socket in self.shared.open().values() {
            // What was received can still be read; a thread that waits for more reads the end.
            let _ = socket.shutdown(Shutdown::Read);
        }
        // Every thread holds a sender; the last one to end ends this.
        let _ = self.ended.recv().await;
    }
}

struct Shared {
    worker: Arc<Worker>,
    listener: Socket,
    stopping: AtomicBool,
    /// The connections being served or waiting for a thread.
    open: Mutex<HashMap<u64, Socket>>,
    next: AtomicU64,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Socket>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection until its end. What goes wrong on it concerns its client alone.
    fn serve(&self, connection: Connection, keep_alive: bool) {
        let _open = self.worker.connection_opened();
        let mut socket = &connection.socket;
        let mut reader = BufReader::new(&connection.socket);
        loop {
            match self.exchange(&mut reader, keep_alive) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let _ = socket.write_all(BAD_REQUEST);
                    break;
                }
                Err(_) => break,
            }
        }
        let _ = connection.socket.shutdown(Shutdown::Write);
        self.open().remove(&connection.id);
    }

    fn is_sequential(&self) -> bool {
        self.worker.options.model == Model::Sequential
    }

    /// Is there a connection that was not accepted yet?
    fn someone_waits(&self) -> bool {
        let mut listener = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        // One that is shut down for a drain is readable too, and hung up.
        poll(&mut listener, PollTimeout::ZERO).is_ok() && listener[0].revents() == Some(PollFlags::POLLIN)
    }

    /// One request, one answer; whether another may follow.
    fn exchange(&self, reader: &mut BufReader<&Socket>, keep_alive: bool) -> io::Result<bool> {
        let Some(head) = Head::read(reader)? else { return Ok(false) };
        let mut socket = *reader.get_ref();
        let target: Uri = head.target.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        if let Some(lines) = report::observed(&self.worker, &target) {
            socket.write_all(&answer(lines.as_bytes(), head.method == "HEAD", false))?;
            return Ok(false);
        }
        let _in_flight = self.worker.request_begun();
        let Some(length) = head.body_length else {
            socket.write_all(LENGTH_REQUIRED)?;
            return Ok(false);
        };
        if head.expects_continue && length > 0 {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if io::copy(&mut reader.by_ref().take(length), &mut io::sink())? < length {
            return Ok(false);
        }
        cpu::burn(Duration::from_micros(self.worker.options.work_us));
        pause(self.worker.delay());
        if target.path() == "/delay" {
            match Query::of(&target).number("ms", 100, 0..=600_000) {
                Ok(ms) => pause(Duration::from_millis(ms)),
                Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        // Looked at before the answer: who comes after it has done nothing wrong.
        if self.is_sequential() && self.someone_waits() {
            self.worker.overlapped();
        }
        let keep_alive = keep_alive && head.keep_alive && !self.stopping.load(Ordering::SeqCst);
        socket.write_all(&answer(&self.worker.greeting, head.method == "HEAD", keep_alive))?;
        Ok(keep_alive)
    }
}

/// An accepted connection and its place in the list of open ones.
struct Connection {
    id: u64,
    socket: Socket,
}

/// What the accepting thread holds.
struct Accept {
    shared: Arc<Shared>,
    listener: Socket,
    alive: mpsc::Sender<()>,
}

impl Accept {
    fn each(&self, serve: impl Fn(Connection)) {
        loop {
            let accepted = self.listener.accept();
            if self.shared.stopping.load(Ordering::SeqCst) {
                return;
            }
            match accepted.and_then(|(socket, _)| self.register(socket)) {
                Ok(connection) => serve(connection),
                // Out of descriptors or memory; connections that end give some back.
                Err(error) if error.raw_os_error().is_some() => pause(ACCEPT_PAUSE),
                Err(_) => {}
            }
        }
    }

    fn register(&self, socket: Socket) -> io::Result<Connection> {
        // A Unix socket knows no such option.
        let _ = socket.set_tcp_nodelay(true);
        socket.set_read_timeout(self.shared.worker.options.keep_alive_timeout)?;
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.open().insert(id, socket.try_clone()?);
        if self.shared.stopping.load(Ordering::SeqCst) {
            // The drain may have gone through the list before this one was in it.
            let _ = socket.shutdown(Shutdown::Read);
        }
        Ok(Connection { id, socket })
    }

    fn spawn(&self, connection: Connection) {
        let (shared, alive, id) = (self.shared.clone(), self.alive.clone(), connection.id);
        let spawned = thread::Builder::new().name("connection".into()).spawn(move || {
            shared.serve(connection, true);
            drop(alive);
        });
        if spawned.is_err() {
            // No thread, no answer: the client sees its connection closed.
            self.shared.open().remove(&id);
        }
    }

    fn start_pool(&self) -> io::Result<std::sync::mpsc::SyncSender<Connection>> {
        let (sender, queue) = sync_channel(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..self.shared.worker.options.threads {
            let (shared, alive, queue) = (self.shared.clone(), self.alive.clone(), queue.clone());
            thread::Builder::new().name("pool".into()).spawn(move || {
                while let Some(connection) = next(&queue) {
                    shared.serve(connection, true);
                }
                drop(alive);
            })?;
        }
        Ok(sender)
    }
}

fn next(queue: &Mutex<Receiver<Connection>>) -> Option<Connection> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
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

#[expect(clippy::disallowed_methods, reason = "these models block a thread; that is what they are here to show")]
fn pause(time: Duration) {
    if !time.is_zero() {
        thread::sleep(time);
    }
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const LENGTH_REQUIRED: &[u8] = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Connections that wait for a thread of the pool; beyond, the kernel's backlog holds them.
const QUEUE_MAX: usize = 1024;
