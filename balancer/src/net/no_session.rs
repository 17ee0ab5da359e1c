//! In the place of encrypted connections, where the program is built without the feature `tls`: there are none.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use super::buffer::Buffer;
use super::plain::Plain;

/// A session that cannot be.
#[derive(Debug)]
pub struct Session(Infallible);

#[allow(clippy::unused_self, reason = "the same methods as those of a session that can be")]
impl Session {
    /// Whether that is HTTP/2 (RFC 9113 §3.2).
    pub fn speaks_http2(&self) -> bool {
        match self.0 {}
    }

    /// Whether nothing is under way: the connection can rest.
    pub fn is_quiet(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn has_read_all(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn poll_read(&mut self, _: &mut Context<'_>, _: &mut Buffer) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(super) fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8], _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(super) fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    pub(super) fn poll_goodbye(&mut self, _: &mut Context<'_>) -> Poll<()> {
        match self.0 {}
    }

    pub(super) fn ends_cleanly(&mut self, _: bool) {
        match self.0 {}
    }

    pub(super) fn socket(&self) -> &Plain {
        match self.0 {}
    }

    pub(super) fn socket_mut(&mut self) -> &mut Plain {
        match self.0 {}
    }

    pub(super) fn take_socket(&mut self) -> Plain {
        match self.0 {}
    }

    pub(super) fn put_socket(&mut self, _: Plain) {
        match self.0 {}
    }
}
