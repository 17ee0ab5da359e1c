//! Requests of gRPC, whose streams may be silent for as long as they like.
//!
//! Decides which requests these are and how long they may be silent. Called where the limits of bodies are set. Never looks into a message.

use std::time::Duration;

use crate::http1::{Name, RequestHead, Version};
use crate::pool::Pool;

/// Whether a request is one: gRPC is spoken over HTTP/2 alone, on both sides, where a PING finds out who is gone. To a pool of HTTP/1 the word
/// of a client means nothing: its limits hold.
pub(super) fn is_one(head: &RequestHead, pool: &Pool) -> bool {
    head.version == Version::Http2 && pool.speaks_http2() && head.fields.first(Name::ContentType).is_some_and(is_grpc)
}

/// `application/grpc`, perhaps with a format (`+proto`) or parameters.
fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Longer than any stream lives.
pub(super) const SILENCE: Duration = Duration::from_secs(365 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_type_is_taken_for_one() {
        for (text, is_one) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpcx", false),
            ("application/grpc-web", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), is_one, "{text}");
        }
    }
}
