//! Connections on which nothing happens: counted, timed, and taken apart to their sockets.
//!
//! Decides when one has waited too long, and which goes when others need its place. Called by the connections themselves, and by the tick
//! of their thread. Never answers a request.

pub(super) mod alarm;
pub(super) mod parked;
pub(super) mod registry;
