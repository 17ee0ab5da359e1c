//! A connection that no runtime knows: on its way to another thread, or at rest. Holds the descriptor and, where it is encrypted, the
//! session without which nobody could go on; never reads or writes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::SockRef;

use super::plain::{Family, says_nothing};
use super::session::Session;

/// What is left of a [`Socket`](super::Socket) that belongs to no thread.
#[derive(Debug)]
pub struct Bare {
    pub(super) descriptor: OwnedFd,
    pub(super) family: Family,
    pub(super) greets: bool,
    pub(super) session: Option<Box<Session>>,
}

impl Bare {
    /// The descriptor alone, of a connection that is not encrypted.
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    /// Whether there is nothing to read, not even its end. One system call.
    pub fn is_silent(&self) -> bool {
        says_nothing(&SockRef::from(&self.descriptor))
    }
}

impl AsFd for Bare {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
