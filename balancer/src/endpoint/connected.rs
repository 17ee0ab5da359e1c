//! How many connections there are to an endpoint, and whether one leads where the endpoint is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Endpoint;

/// One connection to an endpoint that is counted there until this is dropped, whoever has it: a request, a tunnel, a thread's
/// idle ones or a slot.
#[derive(Debug)]
pub struct Connected {
    endpoint: Arc<Endpoint>,
    moves: u32,
}

impl Connected {
    /// Counts one more, which was begun when the endpoint had moved so often ([`Endpoint::moves`]).
    pub fn to(endpoint: &Arc<Endpoint>, moves: u32) -> Self {
        endpoint.connections.fetch_add(1, Ordering::Relaxed);
        Self { endpoint: Arc::clone(endpoint), moves }
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether the endpoint is still where it was when the connection was begun: else it is not to be kept for another request.
    pub fn is_current(&self) -> bool {
        self.moves == self.endpoint.moves()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.endpoint.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
