//! The version of a message. Decides nothing; read with a head. Never says what a message of it may hold.

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, read by a library; of a request only.
    Http2,
}
