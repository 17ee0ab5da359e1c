//! One side of a connection, read and written as bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use super::message::{Ended, Message, field};

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(crate) struct Wire {
    stream: Stream,
    /// Read but not asked for yet.
    unread: Vec<u8>,
    /// Everything that was ever read.
    record: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Wire {
    pub(super) fn new(stream: Stream, record: Option<Arc<Mutex<Vec<u8>>>>) -> Self {
        let wire = Self { stream, unread: Vec::new(), record };
        wire.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        wire.socket().set_write_timeout(Some(PATIENCE)).unwrap();
        wire
    }

    pub(super) fn socket(&self) -> SockRef<'_> {
        match &self.stream {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    pub(super) fn half_close(&self) {
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Makes the close a reset.
    pub(super) fn reset(self) {
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    /// Reads once.
    pub(super) fn more(&mut self) -> Result<(), Ended> {
        let mut buffer = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer),
            Stream::Unix(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => Err(Ended::Close),
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                if let Some(record) = &self.record {
                    record.lock().unwrap().extend_from_slice(&buffer[..read]);
                }
                Ok(())
            }
            // A signal to this process, such as the end of a child of another test, ends a read with a time limit (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(Ended::Silence),
            Err(_) => Err(Ended::Reset),
        }
    }

    /// Takes what has been read.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Takes up to and including `mark`.
    pub(super) fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Ended> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.unread.drain(..at + mark.len()).collect());
            }
            self.more()?;
        }
    }

    /// A head; nothing of its body is taken.
    pub(super) fn head(&mut self) -> Result<Message, Ended> {
        Ok(Message::parse(&String::from_utf8_lossy(&self.until(b"\r\n\r\n")?)))
    }

    /// The body that belongs to a head, or what of it came.
    pub(super) fn body(&mut self, mut message: Message, until_close: bool) -> Message {
        message.ended = if message.is_chunked() {
            self.chunks(&mut message).err().unwrap_or(Ended::Framed)
        } else if let Some(length) = message.length() {
            self.counted(&mut message.body, length).err().unwrap_or(Ended::Framed)
        } else if until_close {
            let ended = self.read_to_end();
            message.body = self.take();
            ended
        } else {
            Ended::Framed
        };
        message
    }

    /// Reads until there is no more to come.
    pub(super) fn read_to_end(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.more() {
                return ended;
            }
        }
    }

    pub(super) fn counted(&mut self, into: &mut Vec<u8>, length: usize) -> Result<(), Ended> {
        let mut left = length;
        loop {
            let take = left.min(self.unread.len());
            into.extend(self.unread.drain(..take));
            left -= take;
            if left == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    fn chunks(&mut self, message: &mut Message) -> Result<(), Ended> {
        loop {
            let line = self.until(b"\r\n")?;
            let digits = String::from_utf8_lossy(&line).trim_end().to_owned();
            let size = usize::from_str_radix(digits.split(';').next().unwrap(), 16).expect("the size of a chunk");
            if size == 0 {
                break;
            }
            self.counted(&mut message.body, size)?;
            assert_eq!(self.until(b"\r\n")?, b"\r\n", "a chunk ends where it says");
        }
        loop {
            match &*self.until(b"\r\n")? {
                b"\r\n" => return Ok(()),
                line => message.trailers.push(field(String::from_utf8_lossy(line).trim_end())),
            }
        }
    }
}
