//! One worker that takes connections, as `desk` knows it.
//!
//! Decides how many connections it has, by what it says of those that it has closed, and whether there is room in its channel. Called
//! by `desk`. Never waits for a worker that says nothing.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use super::channel::Channel;
use super::choose::TakerState;

/// A worker, its channel and its connections.
#[derive(Debug)]
pub(super) struct Member {
    channel: Arc<Channel>,
    /// The same channel, as the runtime knows it.
    stream: UnixStream,
    name_hash: u64,
    /// It has not read those it was handed before.
    full: Cell<bool>,
    /// It has closed its end.
    gone: Cell<bool>,
    /// Somebody was turned away.
    turned_away: Notify,
    handed: Cell<u64>,
    /// As far as it says so.
    closed: Cell<u64>,
}

/// What became of a connection that was to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandOver {
    /// It is the worker's.
    Yes,
    /// This worker takes none for now.
    No,
    /// Nobody can be handed any for now.
    NotBy(io::ErrorKind),
}

impl Member {
    /// # Errors
    /// The runtime takes no more.
    pub(super) fn new(name: &str, channel: Arc<Channel>) -> io::Result<Self> {
        let stream = UnixStream::from_std(channel.try_clone()?)?;
        let (full, gone, turned_away) = (Cell::new(false), Cell::new(false), Notify::new());
        let (handed, closed) = (Cell::new(0), Cell::new(0));
        Ok(Self { channel, stream, name_hash: xxh3_64(name.as_bytes()), full, gone, turned_away, handed, closed })
    }

    /// Whether `channel` is its own.
    pub(super) fn has(&self, channel: &Arc<Channel>) -> bool {
        Arc::ptr_eq(&self.channel, channel)
    }

    /// What the policies have to know of it.
    pub(super) fn candidate(&self) -> TakerState {
        let open = self.handed.get().saturating_sub(self.closed.get());
        TakerState { name_hash: self.name_hash, open, may: !self.full.get() && !self.gone.get() }
    }

    /// Gives it a connection, if it takes one.
    pub(super) fn hand(&self, connection: &impl AsFd) -> HandOver {
        let handed = self.stream.try_io(Interest::WRITABLE, || self.channel.hand(connection.as_fd()));
        match handed.map_err(|error| error.kind()) {
            Ok(()) => {
                self.handed.set(self.handed.get() + 1);
                return HandOver::Yes;
            }
            Err(io::ErrorKind::WouldBlock) => {
                self.full.set(true);
                self.turned_away.notify_one();
            }
            Err(io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected) => {
                self.gone.set(true);
            }
            // Too many descriptors are on their way already (ETOOMANYREFS, unix(7)), or the kernel is out of memory.
            Err(other) => return HandOver::NotBy(other),
        }
        HandOver::No
    }

    /// It is given no more: it finds the end of its channel behind those it was given.
    pub(super) fn end(&self) {
        self.channel.end();
    }

    /// Follows what it says and whether it reads, until it has closed its end. `room` is told of each change for the better, and `tells`
    /// is set once it has said that it has closed a connection.
    pub(super) async fn attend(&self, room: &Notify, tells: &Cell<bool>) {
        let mut line = Vec::new();
        let mut buffer = [0; READ_BYTES];
        while !self.gone.get() {
            tokio::select! {
                readable = self.stream.readable() => {
                    match readable.and_then(|()| self.stream.try_read(&mut buffer)) {
                        Ok(length @ 1..) => {
                            let closed = hear(&buffer[..length], &mut line);
                            self.closed.set(self.closed.get().saturating_add(closed).min(self.handed.get()));
                            tells.set(tells.get() || closed > 0);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Ok(0) | Err(_) => self.gone.set(true),
                    }
                }
                writable = self.stream.writable(), if self.full.get() => {
                    self.full.set(false);
                    self.gone.set(self.gone.get() || writable.is_err());
                    room.notify_waiters();
                }
                () = self.turned_away.notified() => {}
            }
        }
    }
}

/// Takes lines, the last of which may not be whole yet; returns how many connections they say are closed.
fn hear(bytes: &[u8], line: &mut Vec<u8>) -> u64 {
    let mut all = 0_u64;
    for byte in bytes {
        match byte {
            b'\n' => {
                all = all.saturating_add(closed(line));
                line.clear();
            }
            // What is longer is nothing that a worker has to say.
            byte if line.len() < LINE_BYTES_MAX => line.push(*byte),
            _ => {}
        }
    }
    all
}

/// How many connections a worker says it has closed: `{"closed":2}`. Everything else that it says, as Node's acknowledgement of a
/// socket, is none.
fn closed(line: &[u8]) -> u64 {
    let said: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    said.and_then(|said| said.get("closed")?.as_u64()).unwrap_or(0)
}

const READ_BYTES: usize = 4 << 10;
const LINE_BYTES_MAX: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_of_closed_connections_counts() {
        for (line, count) in [
            (&b"{\"closed\":2}"[..], 2),
            (b" { \"closed\" : 1, \"more\": 2 } ", 1),
            (b"{\"cmd\":\"NODE_HANDLE_ACK\"}", 0),
            (b"{\"closed\":-1}", 0),
            (b"{\"closed\":\"3\"}", 0),
            (b"[1]", 0),
            (b"\xff", 0),
            (b"", 0),
        ] {
            assert_eq!(closed(line), count, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn lines_come_in_pieces_and_one_without_end_takes_no_memory() {
        let mut line = Vec::new();
        assert_eq!(hear(b"{\"closed\":1}\n{\"clo", &mut line), 1);
        assert_eq!(hear(b"sed\":2}\nrubbish\n", &mut line), 2);
        for _ in 0..100 {
            assert_eq!(hear(&[b'x'; READ_BYTES], &mut line), 0);
        }
        assert_eq!(line.len(), LINE_BYTES_MAX);
        assert_eq!(hear(b"\n{\"closed\":3}\n", &mut line), 3);
    }
}
