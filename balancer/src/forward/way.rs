//! On what connection a request goes to its endpoint: a pure question.
//!
//! Decides which requests share one of HTTP/2. Called by the attempt; [`super::upstream`] does as it says. Never looks at a connection.

use super::admit::Admitted;
use crate::http1::RequestHead;

/// On what a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A connection of HTTP/1.
    Http1,
    /// A stream of a connection of HTTP/2 that others use too.
    Shared {
        /// Whether a body follows.
        uploads: bool,
    },
    /// A stream of a connection of HTTP/2 that nobody else uses.
    Alone,
}

impl Way {
    /// In HTTP/2. Servers end the whole connection at a head that is too large for them (nginx, for one, at a field over 8 KiB), and a
    /// request that was `unanswered` before may be why its connection has ended: such requests are kept from those of others.
    pub(super) fn in_http2(head: &RequestHead, admitted: &Admitted<'_>, unanswered: bool, uploads: bool) -> Self {
        if unanswered || is_large(head, admitted) { Self::Alone } else { Self::Shared { uploads } }
    }
}

/// Whether the head is larger than every server takes, with what we add to it.
fn is_large(head: &RequestHead, admitted: &Admitted<'_>) -> bool {
    let fields = head.fields.iter().map(|field| field.spelled.len() + field.value.len() + 4).sum::<usize>();
    fields + admitted.target.len() + 3 * admitted.host.len() + OURS > HEAD_SHARED_MAX
}

/// Of the head of a request that shares a connection, in bytes. The least that a common server takes of one field.
const HEAD_SHARED_MAX: usize = 8 * 1024;
/// What we say of the request, besides its host.
const OURS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{Scan, admit};
    use crate::http1::Fields;

    fn way(target: &str, host: &str, value: &str, unanswered: bool) -> Way {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX: {value}\r\n\r\n");
        let head = RequestHead::parse(head.as_bytes(), Fields::default()).unwrap();
        let scan = Scan::of(&head, &[]).unwrap();
        Way::in_http2(&head, &admit(&head, &scan).unwrap(), unanswered, false)
    }

    #[test]
    fn what_may_end_a_connection_goes_on_one_of_its_own() {
        let shared = Way::Shared { uploads: false };
        let (some, many) = ("x".repeat(7_000), "x".repeat(8_000));
        assert_eq!(way("/", "a", &some, false), shared);
        assert_eq!(way("/", "a", &many, false), Way::Alone, "a field");
        assert_eq!(way(&format!("/{many}"), "a", "", false), Way::Alone, "a target");
        assert_eq!(way("/", &"x".repeat(2_000), "", false), Way::Alone, "a host is said three times more");
        assert_eq!(way("/", "a", "", true), Way::Alone, "one that was not answered");
    }
}
