//! One table: what went wrong → whose fault, which status, which word.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use super::waits::Wait;
use crate::pool::{Reason, Refused};

/// Why a request was not answered by a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A target in a form a gateway does not take (RFC 9112 §3.2).
    BadTarget,
    /// A target that common servers read as the paths of different pools.
    AmbiguousTarget,
    /// A missing, repeated or malformed `Host` (RFC 9112 §3.2).
    BadHost,
    /// A `Connection` that names more fields than we compare with.
    HeaderTooLarge,
    /// A field name that a worker may read as another's, with `ambiguous_fields = "refuse"`.
    AmbiguousField,
    /// CONNECT or TRACE.
    MethodRefused,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed,
    /// It has passed us again and again: one of our endpoints leads back to us (RFC 5842 §7.2).
    Loop,
    /// A body over `body_bytes_max`.
    BodyTooLarge,
    /// A body that is not framed as RFC 9112 §7 says.
    BadBody,
    /// A body slower than `body_timeout` or `body_rate_min` allows, or than those can bear who wait for its place.
    SlowBody,
    /// A body that waited on the disk cannot be read, or the disk takes too long.
    SpoolFailed,
    /// No route takes the request.
    NoRoute,
    /// No endpoint of the pool accepts requests.
    NoEndpoint,
    /// No place at an endpoint came free for the request.
    NoPlace(Refused),
    /// There is no descriptor left for a connection to an endpoint.
    DescriptorLimit,
    /// The endpoint refused the connection.
    ConnectFailed,
    /// The endpoint did not accept a connection within `connect_timeout`.
    ConnectTimeout,
    /// The endpoint's certificate is none that we believe.
    CertificateRefused,
    /// The endpoint and we have not come to terms in the TLS handshake.
    HandshakeFailed,
    /// The endpoint closed the connection before it answered.
    ClosedEarly,
    /// The endpoint's answer is not HTTP as RFC 9112 has it.
    BadResponse,
    /// The endpoint's answer has more fields than we take: our limit, and no illness of the endpoint.
    TooManyFields,
    /// The endpoint switched protocols though nobody asked.
    UnaskedUpgrade,
    /// The endpoint did not answer within `response_timeout`.
    ResponseTimeout,
    /// The worker did not answer within `hang_timeout` and is replaced.
    WorkerHung,
    /// Requests like this have killed too many workers, and are refused for so many seconds more.
    QueryOfDeath(u16),
    /// The endpoint took nothing of the request body for `idle_timeout`.
    RequestStalled,
    /// The endpoint sent nothing of the response body for `idle_timeout`.
    IdleTimeout,
    /// The request was not answered within `request_timeout`.
    RequestTimeout,
    /// The endpoint ended its response body too early.
    Truncated,
    /// Nothing went through a tunnel for `tunnel_idle_timeout`.
    TunnelIdle,
    /// A side of a tunnel broke.
    TunnelBroken,
    /// A tunnel or an event stream had more than its share of the places that others wait for.
    PlaceNeeded,
    /// The client left.
    ClientGone,
    /// The client took nothing of the response for `body_timeout`.
    ClientStalled,
    /// The client took the response slower than `response_rate_min` allows, or than those can bear who wait for its place.
    ClientSlow,
}

/// Whose fault a [`Fault`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The client's.
    Client,
    /// The endpoint's.
    Endpoint,
    /// Ours, or our configuration's.
    Us,
}

impl Fault {
    /// Whose fault, the status the client gets, and the word for log and metrics.
    pub fn explain(self) -> (Party, StatusCode, &'static str) {
        use Party::{Client, Endpoint, Us};
        match self {
            Self::BadTarget => (Client, StatusCode::BAD_REQUEST, "bad_target"),
            Self::AmbiguousTarget => (Client, StatusCode::BAD_REQUEST, "ambiguous_target"),
            Self::BadHost => (Client, StatusCode::BAD_REQUEST, "bad_host"),
            Self::HeaderTooLarge => (Client, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large"),
            Self::AmbiguousField => (Client, StatusCode::BAD_REQUEST, "ambiguous_field"),
            // RFC 9110 §15.6.2: not supported for any resource.
            Self::MethodRefused => (Client, StatusCode::NOT_IMPLEMENTED, "method_refused"),
            Self::ExpectationFailed => (Client, StatusCode::EXPECTATION_FAILED, "bad_expectation"),
            Self::Loop => (Us, StatusCode::LOOP_DETECTED, "loop"),
            Self::BodyTooLarge => (Client, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BadBody => (Client, StatusCode::BAD_REQUEST, "bad_body"),
            Self::SlowBody => (Client, StatusCode::REQUEST_TIMEOUT, "slow_body"),
            Self::SpoolFailed => (Us, StatusCode::SERVICE_UNAVAILABLE, "spool_failed"),
            Self::NoRoute => (Us, StatusCode::NOT_FOUND, "no_route"),
            Self::NoEndpoint => (Us, StatusCode::SERVICE_UNAVAILABLE, "no_endpoint"),
            Self::NoPlace(Refused { reason, .. }) => {
                let word = match reason {
                    Reason::QueueFull => "queue_full",
                    Reason::QueueTimeout => "queue_timeout",
                    Reason::Shed => "shed",
                };
                (Us, StatusCode::SERVICE_UNAVAILABLE, word)
            }
            Self::DescriptorLimit => (Us, StatusCode::SERVICE_UNAVAILABLE, "descriptor_limit"),
            Self::ConnectFailed => (Endpoint, StatusCode::BAD_GATEWAY, "connect_failed"),
            Self::ConnectTimeout => (Endpoint, StatusCode::BAD_GATEWAY, "connect_timeout"),
            Self::CertificateRefused => (Endpoint, StatusCode::BAD_GATEWAY, "certificate_refused"),
            Self::HandshakeFailed => (Endpoint, StatusCode::BAD_GATEWAY, "tls_handshake_failed"),
            Self::ClosedEarly => (Endpoint, StatusCode::BAD_GATEWAY, "closed_early"),
            Self::BadResponse => (Endpoint, StatusCode::BAD_GATEWAY, "bad_response"),
            Self::TooManyFields => (Us, StatusCode::BAD_GATEWAY, "too_many_fields"),
            Self::UnaskedUpgrade => (Endpoint, StatusCode::BAD_GATEWAY, "unasked_upgrade"),
            Self::ResponseTimeout => (Endpoint, StatusCode::GATEWAY_TIMEOUT, "response_timeout"),
            Self::WorkerHung => (Endpoint, StatusCode::GATEWAY_TIMEOUT, "worker_hung"),
            Self::QueryOfDeath(_) => (Us, StatusCode::SERVICE_UNAVAILABLE, "query_of_death"),
            Self::RequestStalled => (Endpoint, StatusCode::GATEWAY_TIMEOUT, "request_stalled"),
            Self::IdleTimeout => (Endpoint, StatusCode::GATEWAY_TIMEOUT, "idle_timeout"),
            Self::RequestTimeout => (Endpoint, StatusCode::GATEWAY_TIMEOUT, "request_timeout"),
            Self::Truncated => (Endpoint, StatusCode::BAD_GATEWAY, "truncated"),
            // Behind a 101 there is nobody to be told.
            Self::TunnelIdle => (Us, StatusCode::GATEWAY_TIMEOUT, "tunnel_idle"),
            Self::TunnelBroken => (Us, StatusCode::BAD_GATEWAY, "tunnel_broken"),
            Self::PlaceNeeded => (Us, StatusCode::SERVICE_UNAVAILABLE, "place_needed"),
            // Never sent; the number nginx logs for the same.
            Self::ClientGone => (Client, CLIENT_GONE, "client_gone"),
            Self::ClientStalled => (Client, CLIENT_GONE, "client_stalled"),
            Self::ClientSlow => (Client, CLIENT_GONE, "client_slow"),
        }
    }

    /// What it is when a wait has lasted too long.
    pub(super) fn late(wait: Wait) -> Self {
        match wait {
            Wait::RequestBody => Self::SlowBody,
            Wait::Disk => Self::SpoolFailed,
            Wait::Place => Self::NoEndpoint,
            Wait::RequestTaken => Self::RequestStalled,
            Wait::Response => Self::ResponseTimeout,
            Wait::ResponseBody => Self::IdleTimeout,
            Wait::Whole => Self::RequestTimeout,
            Wait::ResponseTaken => Self::ClientStalled,
            Wait::Tunnel => Self::TunnelIdle,
        }
    }

    /// Seconds after which the request may be worth another try, of what is answered with 503.
    pub fn retry_after(self) -> Option<u16> {
        match self {
            Self::NoPlace(refused) => Some(refused.retry_after),
            Self::QueryOfDeath(seconds) => Some(seconds),
            _ => (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    /// Whether a client has kept its place for too long.
    pub(super) fn keeps_place(self) -> bool {
        matches!(self, Self::SlowBody | Self::ClientStalled | Self::ClientSlow | Self::PlaceNeeded)
    }

    /// Whose fault it is.
    pub fn party(self) -> Party {
        self.explain().0
    }

    /// The status the client gets.
    pub fn status(self) -> StatusCode {
        self.explain().1
    }

    /// The word for log and metrics.
    pub fn reason(self) -> &'static str {
        self.explain().2
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for Fault {}

/// 499.
const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::observe::{OF_ENDPOINTS, OURS, STATUS};

    #[test]
    fn the_words_that_count_as_failures_are_those_of_this_table() {
        let refused = |reason| Fault::NoPlace(Refused { reason, retry_after: 1 });
        let all = [
            Fault::BadTarget,
            Fault::AmbiguousTarget,
            Fault::BadHost,
            Fault::HeaderTooLarge,
            Fault::AmbiguousField,
            Fault::MethodRefused,
            Fault::ExpectationFailed,
            Fault::Loop,
            Fault::BodyTooLarge,
            Fault::BadBody,
            Fault::SlowBody,
            Fault::SpoolFailed,
            Fault::NoRoute,
            Fault::NoEndpoint,
            refused(Reason::QueueFull),
            refused(Reason::QueueTimeout),
            refused(Reason::Shed),
            Fault::DescriptorLimit,
            Fault::ConnectFailed,
            Fault::ConnectTimeout,
            Fault::CertificateRefused,
            Fault::HandshakeFailed,
            Fault::ClosedEarly,
            Fault::BadResponse,
            Fault::TooManyFields,
            Fault::UnaskedUpgrade,
            Fault::ResponseTimeout,
            Fault::WorkerHung,
            Fault::QueryOfDeath(1),
            Fault::RequestStalled,
            Fault::IdleTimeout,
            Fault::RequestTimeout,
            Fault::Truncated,
            Fault::ClientGone,
            Fault::ClientStalled,
            Fault::ClientSlow,
        ];
        let words = |is: &dyn Fn(&Fault) -> bool| {
            all.iter().filter(|fault| is(fault)).map(|fault| fault.reason()).collect::<BTreeSet<_>>()
        };
        let of_endpoints: BTreeSet<&str> = OF_ENDPOINTS.into_iter().filter(|word| *word != STATUS).collect();
        assert_eq!(words(&|fault| fault.party() == Party::Endpoint), of_endpoints);
        let is_ours = |fault: &Fault| fault.party() == Party::Us && fault.status().is_server_error();
        assert_eq!(words(&is_ours), OURS.into_iter().collect());
    }
}
