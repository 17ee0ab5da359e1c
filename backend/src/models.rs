//! The classic server models, on blocking sockets: one connection at a time, a thread each, a pool of threads.
//!
//! Decides which thread serves which connection. Called by `serve` where no event loop is asked for. Of the
//! routes it knows `/delay`, `/info`, `/seen` and `/stats`; every other request gets the worker's name. As in the textbooks, what still
//! waits in a kernel's backlog of this process alone is lost at a drain.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;
use tokio::sync::mpsc;

use crate::Model;
use crate::exchange::{Connection, Shared, Slots, pause};
use crate::queue::Queue;
use crate::source::Source;
use crate::worker::Worker;

/// A classic server at work on threads of its own.
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// Dropping it wakes the thread that accepts.
    waker: UnixStream,
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// # Errors
    /// The first threads could not be started.
    pub(crate) fn start(worker: Arc<Worker>, source: Arc<Source>) -> io::Result<Server> {
        let (alive, ended) = mpsc::channel(1);
        let options = &worker.options;
        let model = options.model;
        let queue = (model == Model::Pool).then(|| Arc::new(Queue::new(options.threads(), options.queue())));
        let (waker, woken) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            slots: options.slots.map(|slots| Slots::new(slots.into())),
            worker,
            source,
            queue,
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        });
        let accept = Accept { shared: shared.clone(), woken, alive };
        if let Some(queue) = &shared.queue {
            accept.start_pool(queue)?;
        }
        thread::Builder::new().name("accept".into()).spawn(move || match model {
            Model::Pool => accept.each(|connection| accept.enqueue(connection)),
            Model::Threads => accept.each(|connection| accept.spawn(connection)),
            _ => accept.each(|connection| accept.shared.serve(connection)),
        })?;
        Ok(Server { shared, waker, ended })
    }

    /// Stops accepting, ends idle connections, and comes back when the last request is answered. Connections that are handed over are
    /// accepted until there are no more, and one that has brought no request yet has a moment for it: nobody else would answer it.
    pub(crate) async fn drain(mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.source.stop_listening();
        drop(self.waker);
        self.shared.end_reading(|asked| asked);
        // Every thread holds a sender; the last one to end ends this.
        tokio::select! {
            _ = self.ended.recv() => return,
            () = tokio::time::sleep(FIRST_REQUEST_TIME) => {}
        }
        self.shared.end_reading(|_| true);
        let _ = self.ended.recv().await;
    }
}

/// What the accepting thread holds.
struct Accept {
    shared: Arc<Shared>,
    woken: UnixStream,
    alive: mpsc::Sender<()>,
}

impl Accept {
    fn each(&self, serve: impl Fn(Connection)) {
        while let Some(socket) = self.next() {
            match socket.and_then(|socket| self.register(socket)) {
                Ok(connection) => serve(connection),
                // Out of descriptors or memory; connections that end give some back.
                Err(error) if error.raw_os_error().is_some() => pause(ACCEPT_PAUSE),
                Err(_) => {}
            }
        }
        if let Some(queue) = &self.shared.queue {
            queue.close();
        }
    }

    /// The next connection; `None` when no more are accepted.
    fn next(&self) -> Option<io::Result<Socket>> {
        let source = &self.shared.source;
        loop {
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            if stopping && !source.is_channel() {
                return None;
            }
            match source.next() {
                Ok(Some(socket)) => return Some(Ok(socket)),
                Ok(None) if stopping => return None,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Some(Err(error)),
                ended => self.wait(ended.is_err(), stopping),
            }
        }
    }

    /// Until there may be a connection, if `more` come, or the drain begins, if it has not.
    fn wait(&self, more: bool, stopping: bool) {
        let source = PollFd::new(self.shared.source.as_fd(), PollFlags::POLLIN);
        let woken = PollFd::new(self.woken.as_fd(), PollFlags::POLLIN);
        // A signal that interrupts it is a look too many.
        let _ = match (more, stopping) {
            (true, false) => poll(&mut [source, woken], PollTimeout::NONE),
            (true, true) => poll(&mut [source], PollTimeout::NONE),
            (false, _) => poll(&mut [woken], PollTimeout::NONE),
        };
    }

    fn register(&self, socket: Socket) -> io::Result<Connection> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let asked = Arc::new(AtomicBool::new(false));
        self.shared.open().insert(id, (socket.try_clone()?, asked.clone()));
        Ok(Connection { id, socket, asked })
    }

    fn spawn(&self, connection: Connection) {
        let (shared, alive, id) = (self.shared.clone(), self.alive.clone(), connection.id);
        let spawned = thread::Builder::new().name("connection".into()).spawn(move || {
            shared.serve(connection);
            // In this order: the process may end with the last sender, and the listener's file has to be removed by then.
            drop(shared);
            drop(alive);
        });
        if spawned.is_err() {
            // No thread, no answer: the client sees its connection closed.
            self.shared.open().remove(&id);
            self.shared.source.closed();
        }
    }

    /// Where every thread and every place is taken, it is refused: later is better than never, and now than too late.
    fn enqueue(&self, connection: Connection) {
        let Some(queue) = &self.shared.queue else { return };
        if let Err(refused) = queue.offer(connection) {
            let mut socket = &refused.socket;
            let _ = socket.write_all(OVERLOADED).and_then(|()| socket.shutdown(Shutdown::Write));
            // What the client has sent by now is taken, lest the close destroys the answer on its way.
            let _ = socket.set_read_timeout(Some(LINGER)).and_then(|()| socket.read(&mut [0; 4096]));
            self.shared.open().remove(&refused.id);
            self.shared.source.closed();
        }
    }

    fn start_pool(&self, queue: &Arc<Queue<Connection>>) -> io::Result<()> {
        for number in 1..=self.shared.worker.options.threads() {
            let (shared, alive, queue) = (self.shared.clone(), self.alive.clone(), queue.clone());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                while let Some(connection) = queue.next() {
                    shared.serve(connection);
                    queue.done();
                }
                // In this order, as above.
                drop(shared);
                drop(alive);
            })?;
        }
        Ok(())
    }
}

const OVERLOADED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// After the drain has begun; a client that has connected sends its request at once.
const FIRST_REQUEST_TIME: Duration = Duration::from_millis(500);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// As long as the thread that accepts can spare for somebody who is refused.
const LINGER: Duration = Duration::from_millis(5);
