//! Handshakes that we begin, with endpoints.
//!
//! Decides what stands in front of one. Called by [`connect`](super::connect). Never says whom to believe: that comes with the
//! configuration of rustls.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::handshake_failed::{explained, failed};
use super::{Buffer, Outbox, Socket};

/// How a connection of ours is encrypted: not at all, or with whom we want to speak and whom we believe.
#[derive(Debug, Clone, Default)]
pub struct Encryption(Option<Towards>);

#[derive(Debug, Clone)]
struct Towards {
    config: Arc<ClientConfig>,
    /// `None`: a name that no certificate can have.
    name: Option<ServerName<'static>>,
    /// What stands in front of the handshake (PROXY protocol).
    announced: Vec<u8>,
}

impl Encryption {
    /// As `config` says, with the peer of that `name`.
    pub fn with(config: Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.trim_end_matches('.').to_owned()).ok();
        Self(Some(Towards { config, name, announced: Vec::new() }))
    }

    /// The same behind these bytes, which are not encrypted.
    #[must_use]
    pub fn announced(mut self, bytes: Vec<u8>) -> Self {
        if let Some(towards) = &mut self.0 {
            towards.announced = bytes;
        }
        self
    }

    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Shakes hands over a connection that has just been opened.
    ///
    /// # Errors
    /// Those of the connection, and [`HandshakeFailed`] within one.
    pub(super) async fn over(&self, mut socket: Socket) -> io::Result<Socket> {
        let Some(Towards { config, name, announced }) = &self.0 else { return Ok(socket) };
        let mut out = Outbox::default();
        out.end().extend_from_slice(announced);
        while !out.is_empty() {
            let written = poll_fn(|cx| socket.poll_write(cx, out.unwritten())).await?;
            out.written(written);
        }
        let name = name.clone().ok_or_else(|| io::Error::other("no certificate can be for its name: set `name`"))?;
        let shown = name.to_str().into_owned();
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(|error| failed(&error, &shown))?;
        let mut socket = socket.encrypted(tls, Buffer::default());
        match poll_fn(|cx| socket.poll_handshake(cx)).await {
            Ok(()) => Ok(socket),
            Err(error) => Err(explained(error, &shown)),
        }
    }
}
