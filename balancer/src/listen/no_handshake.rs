//! In the place of handshakes, where the program is built without the feature `tls`: no listener asks for one.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::idle::alarm::Alarm;
use crate::net::{Buffer, Peer, Socket};
use crate::tls::Certificates;

/// Handshakes of which there are none.
#[derive(Debug)]
pub(super) struct Shaking;

/// As of handshakes that there are; never made.
#[derive(Debug)]
#[expect(dead_code, reason = "without handshakes none fails")]
pub(super) enum Failed {
    Plain(Socket),
    Ended,
    Broken(io::Error),
}

impl Shaking {
    pub(super) fn new(_: &Arc<Certificates>) -> Self {
        Self
    }

    pub(super) async fn with(&self, (socket, ..): (Socket, Buffer, Peer), _: &Rc<Alarm>) -> Result<Socket, Failed> {
        Ok(socket)
    }
}
