//! Where connections come from: a listener, or whoever accepts them and passes each on (SCM_RIGHTS, unix(7)).
//!
//! Decides what an accepted connection is, whichever way it came, and tells who passes them on when one is closed. Called by every
//! model. Never waits: its descriptor says when there is something.

use std::fs::File;
use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use socket2::Socket;

use crate::Options;
use crate::listen::{Address, Listener, bound};

/// A listener, or a channel.
#[derive(Debug)]
pub(crate) struct Source {
    kind: Kind,
    pub(crate) address: Address,
    /// Others accept from it too, and go on when this process ends.
    pub(crate) is_shared: bool,
}

#[derive(Debug)]
enum Kind {
    Listener(Listener),
    /// With the connections that were closed and not yet told of.
    Channel(UnixStream, AtomicU64),
}

impl Source {
    /// What was passed to this process, or else a listener of its own.
    ///
    /// # Errors
    /// `cannot listen on ADDRESS: REASON`; or what was passed is no socket that connections come from.
    pub(crate) fn open(options: &Options, passed: Option<OwnedFd>) -> io::Result<Source> {
        let source = match passed {
            Some(passed) => Source::of_passed(passed)?,
            None => {
                let listener = Listener::bind(options)?;
                Source { address: listener.address.clone(), kind: Kind::Listener(listener), is_shared: false }
            }
        };
        match &source.kind {
            // Those who share a listener share this too.
            Kind::Listener(listener) => listener.socket.set_nonblocking(true)?,
            Kind::Channel(channel, _) => channel.set_nonblocking(true)?,
        }
        Ok(source)
    }

    fn of_passed(passed: OwnedFd) -> io::Result<Source> {
        let explain = |error: io::Error| io::Error::new(error.kind(), format!("descriptor 3 is of no use: {error}"));
        let socket = Socket::from(passed);
        if socket.is_listener().map_err(explain)? {
            let address = bound(&socket).map_err(explain)?;
            let listener = Listener { socket, address: address.clone(), is_ours: false };
            return Ok(Source { kind: Kind::Listener(listener), address, is_shared: true });
        }
        Ok(Source { kind: Kind::Channel(socket.into(), AtomicU64::new(0)), address: Address::Handed, is_shared: false })
    }

    /// Whether connections are handed over, so that what comes ends only when whoever hands them over says so.
    pub(crate) fn is_channel(&self) -> bool {
        matches!(self.kind, Kind::Channel(..))
    }

    /// The next connection, blocking; `None` when no more will come.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: there is none for now. Others: there may be one later.
    pub(crate) fn next(&self) -> io::Result<Option<Socket>> {
        let socket = match &self.kind {
            Kind::Listener(listener) => listener.socket.accept()?.0,
            Kind::Channel(channel, _) => match receive(channel)? {
                Some(socket) => socket,
                None => return Ok(None),
            },
        };
        // A Unix socket knows no such option.
        let _ = socket.set_tcp_nodelay(true);
        Ok(Some(socket))
    }

    /// A connection that came from here is closed.
    pub(crate) fn closed(&self) {
        let Kind::Channel(channel, untold) = &self.kind else { return };
        let count = untold.swap(0, Ordering::Relaxed) + 1;
        // A whole line or nothing: it is so short. Where there is no room now, it is told with the next.
        let mut writer: &UnixStream = channel;
        if writer.write_all(format!("{{\"closed\":{count}}}\n").as_bytes()).is_err() {
            untold.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Nobody is accepted any more, unless others go on; whoever waits for connections wakes.
    pub(crate) fn stop_listening(&self) {
        if let (Kind::Listener(listener), false) = (&self.kind, self.is_shared) {
            // What fails was closed already.
            let _ = listener.socket.shutdown(Shutdown::Read);
        }
    }

    /// Another descriptor of the listener, for a child process.
    ///
    /// # Errors
    /// Of the system; and connections are handed over, one by one.
    pub(crate) fn listener(&self) -> io::Result<File> {
        match &self.kind {
            Kind::Listener(listener) => Ok(OwnedFd::from(listener.socket.try_clone()?).into()),
            Kind::Channel(..) => {
                Err(io::Error::other("children cannot share connections that are handed to one process"))
            }
        }
    }
}

/// A line with a descriptor; what comes without one is let go.
fn receive(channel: &UnixStream) -> io::Result<Option<Socket>> {
    loop {
        let mut line = [0; LINE_BYTES_MAX];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(channel, &mut [IoSliceMut::new(&mut line)], &mut ancillary, flags)?;
        let descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        if let Some(descriptor) = descriptors.flatten().next() {
            let socket = Socket::from(descriptor);
            // As one that was accepted here.
            socket.set_nonblocking(false)?;
            return Ok(Some(socket));
        }
        if received.bytes == 0 {
            return Ok(None);
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Listener(listener) => listener.socket.as_fd(),
            Kind::Channel(channel, _) => channel.as_fd(),
        }
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

const LINE_BYTES_MAX: usize = 1024;
