//! The bytes after a 101 that nobody interprets.
//!
//! Decides nothing but the order: what was read ahead, then the rest. Called by `connection`. Never looks at a byte.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::socket::Socket;

/// Sends every byte back; at the client's half-close everything has been sent, and ours follows.
pub(crate) async fn echo<S: Socket>(socket: &mut S, read_ahead: Bytes) -> io::Result<()> {
    socket.write_all(&read_ahead).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return socket.shutdown().await,
            read => socket.write_all(&buffer[..read]).await?,
        }
    }
}
