//! What the thread that hands connections over is told. Decides nothing; sent by `handoff`, carried out by `desk`.

use std::sync::Arc;

use super::channel::Channel;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// The worker of that name takes connections over this channel.
    Join(Arc<str>, Arc<Channel>),
    /// It takes no more.
    Leave(Arc<Channel>),
    /// Accept who has connected, and nobody who comes later.
    Close,
}
