//! A client's socket, TCP or Unix. Decides nothing; used by whoever owns the bytes of a connection. Never reads or writes by itself.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A client's socket, TCP or Unix.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the next close an RST where the kind of socket knows one.
    fn reset_on_close(&self);
}

impl Socket for TcpStream {
    fn reset_on_close(&self) {
        // It fails only for a connection that is gone already.
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Socket for UnixStream {
    fn reset_on_close(&self) {}
}
