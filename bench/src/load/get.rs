//! A client that asks for a path.
//!
//! Decides the bytes of the request. Called by the scenarios whose requests differ in nothing but the path. Never sends a
//! body.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::answer::exchange;
use super::{Told, Turn, Visitor};

/// GETs of these paths, by [`Turn::kind`].
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) address: SocketAddr,
    pub(crate) paths: &'static [&'static str],
    /// Whether the connection is kept afterwards.
    pub(crate) keep: bool,
}

impl Visitor for Get {
    async fn visit(&self, turn: Turn, kept: &mut Option<TcpStream>) -> Told {
        let path = self.paths.get(turn.kind).copied().unwrap_or("/");
        let close = if self.keep { "" } else { "Connection: close\r\n" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", self.address);
        exchange(self.address, kept, request.as_bytes(), self.keep).await.0.into()
    }
}
