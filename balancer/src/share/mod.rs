//! Connections that workers take without us in between: a shared listening socket, one address for all, or handed over.
//!
//! Decides what a worker is passed as its descriptor 3, and, where it is us who accept, which worker gets a connection. Called by
//! `app`, which opens the address, and by `supervise`, which says who is ready and who leaves. Never reads a byte of a connection.

mod channel;
mod choose;
mod desk;
mod handoff;
mod member;
mod opened;
mod order;
mod refusal;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::{Mode, Pool};
use channel::Channel;
use handoff::Handoff;
pub use opened::OpenedAddress;

/// The address of one pool's workers, and whatever it takes to bring connections to them.
#[derive(Debug, Clone)]
pub struct Share {
    opened: OpenedAddress,
    handoff: Option<Arc<Handoff>>,
}

/// One run of a worker, as a taker of connections. It takes none before [`Self::join`]; dropping it is leaving.
#[derive(Debug)]
pub struct Taker {
    name: Arc<str>,
    channel: Option<Arc<Channel>>,
    handoff: Option<Arc<Handoff>>,
}

impl Share {
    /// Makes workers of `pool` takers of connections at `opened`; by itself nothing is accepted yet.
    ///
    /// # Errors
    /// The system refuses a thread, or what that needs.
    pub fn start(opened: OpenedAddress, pool: &Pool) -> io::Result<Self> {
        let handoff = match (opened.mode, &opened.listener) {
            (Mode::Handoff, Some(listener)) => Some(Arc::new(Handoff::start(listener.try_clone()?, pool)?)),
            _ => None,
        };
        Ok(Self { opened, handoff })
    }

    /// How connections come to the workers.
    pub fn mode(&self) -> Mode {
        self.opened.mode
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.opened.address
    }

    /// A new run of the worker `name` (`app.2`), and what its process is passed.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn taker(&self, name: Arc<str>) -> io::Result<(Taker, Option<OwnedFd>)> {
        let (channel, passed) = match (&self.handoff, &self.opened.listener) {
            (Some(_), _) => {
                let (channel, theirs) = Channel::pair()?;
                (Some(Arc::new(channel)), Some(theirs))
            }
            (None, Some(listener)) => (None, Some(OwnedFd::from(listener.try_clone()?))),
            (None, None) => (None, None),
        };
        Ok((Taker { name, channel, handoff: self.handoff.clone() }, passed))
    }

    /// Nobody joins any more: whoever has connected by now is still brought to a worker, whoever comes later is refused.
    pub fn close(&self) {
        if let Some(handoff) = &self.handoff {
            handoff.close();
        }
    }
}

impl Taker {
    /// From now on it is given connections.
    pub fn join(&self) {
        if let (Some(channel), Some(handoff)) = (&self.channel, &self.handoff) {
            handoff.join(&self.name, channel);
        }
    }

    /// It is given no more, and finds the end of its channel behind those it was given.
    pub fn leave(&self) {
        if let (Some(channel), Some(handoff)) = (&self.channel, &self.handoff) {
            handoff.leave(channel);
        }
    }

    /// A connection of ours to this worker and no other; `None` where it is not us who pick.
    ///
    /// # Errors
    /// The worker has closed its end, or takes nothing.
    pub fn call(&self) -> Option<io::Result<OwnedFd>> {
        self.channel.as_ref().map(|channel| channel.call())
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.leave();
    }
}
