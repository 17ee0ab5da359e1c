//! Reason words of what is no success, by whose it is: closed sets, for labels and for what people are shown. Decides nothing; `forward`
//! holds them against its table of faults.

/// An endpoint has failed a request: words of the access log, and [`STATUS`].
pub const OF_ENDPOINTS: [&str; 14] = [
    STATUS,
    "connect_failed",
    "connect_timeout",
    "closed_early",
    "bad_response",
    "unasked_upgrade",
    "response_timeout",
    "worker_hung",
    "request_stalled",
    "idle_timeout",
    "request_timeout",
    "truncated",
    "certificate_refused",
    "tls_handshake_failed",
];

/// No endpoint has failed, and the client got an answer above 499 all the same.
pub const OURS: [&str; 9] = [
    "no_endpoint",
    "queue_full",
    "queue_timeout",
    "shed",
    "query_of_death",
    "descriptor_limit",
    "spool_failed",
    "too_many_fields",
    "loop",
];

/// An endpoint has answered with a status above 499.
pub const STATUS: &str = "status_5xx";

/// The place of a word in [`OF_ENDPOINTS`].
pub(super) fn of_endpoint(reason: &str) -> Option<usize> {
    OF_ENDPOINTS.iter().position(|word| *word == reason)
}
