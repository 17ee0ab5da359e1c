//! In the place of handshakes that we begin, where the program is built without the feature `tls`: `config` refuses pools that would
//! need one.

use std::convert::Infallible;
use std::fmt;
use std::io;

use super::Socket;

/// How a connection of ours is encrypted: not at all.
#[derive(Debug, Clone, Default)]
pub struct Encryption;

/// Why there is no encrypted connection: never.
#[derive(Debug)]
pub struct HandshakeFailed {
    /// As of handshakes that there are.
    pub refuses_certificate: bool,
    never: Infallible,
}

#[allow(clippy::unused_self, clippy::unused_async, reason = "the same methods as where there are handshakes")]
impl Encryption {
    /// Nothing is encrypted, and so nothing stands in front.
    #[must_use]
    pub fn announced(self, _: Vec<u8>) -> Self {
        self
    }

    /// Whether there is any: no.
    pub fn is_some(&self) -> bool {
        false
    }

    pub(super) async fn over(&self, socket: Socket) -> io::Result<Socket> {
        Ok(socket)
    }
}

impl HandshakeFailed {
    /// It, where an error is one: none is.
    pub fn of(_: &io::Error) -> Option<&Self> {
        None
    }
}

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.never {}
    }
}
