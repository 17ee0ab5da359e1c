//! Requests of gRPC, whose streams may be silent for as long as they like.
//!
//! Decides which requests these are and how long they may be silent. Called where the limits of bodies are set. Never looks into a message.

use std::time::Duration;

use crate::http1::{Name, RequestHead, Version};

/// Whether a request is one: gRPC is spoken over HTTP/2 alone, where a PING finds out who is gone.
pub(super) fn is_one(head: &RequestHead) -> bool {
    head.version == Version::Http2
        && head.fields.first(Name::ContentType).is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// Longer than any stream lives.
pub(super) const SILENCE: Duration = Duration::from_secs(365 * 24 * 3_600);
