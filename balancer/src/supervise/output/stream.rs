//! Where a worker printed, and who takes its lines. Decides nothing; words for whoever reads, writes or shows output. Never touches a pipe.

use std::sync::Arc;

/// Takes whole lines of workers (prefix and newline included, any bytes) for our stdout or stderr. Must not block: it is
/// called on the control thread.
pub type OutputSink = Arc<dyn Fn(OutputStream, &[u8]) + Send + Sync>;

/// Where a worker printed, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
