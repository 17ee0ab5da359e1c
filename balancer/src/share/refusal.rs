//! The answer to a client whom no worker takes: 503, without a look at what it asks. Decides nothing; called by `desk`.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Says it and closes. What the client has sent is read for a moment, lest the close destroys the answer on its way (RFC 9112 §9.6).
pub(super) async fn refuse(connection: OwnedFd) {
    let socket = TcpStream::from(connection);
    let registered = socket.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(socket));
    // Without a place in the runtime nothing can be said.
    let Ok(mut socket) = registered else { return };
    let mut rest = [0; 4096];
    // Beyond that time, and where the client is gone, it is closed all the same.
    let _ = timeout(LINGER, async {
        socket.write_all(ANSWER).await?;
        socket.shutdown().await?;
        while socket.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
}

const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n\
    Content-Length: 37\r\nConnection: close\r\n\r\nno worker takes a connection for now\n";
/// As long as a client needs that is there.
const LINGER: Duration = Duration::from_secs(1);
