//! What is wrong with a message: whose fault it is, the status a client gets, the word for the log.

use http::StatusCode;

/// Why a client's bytes are no request; the client's fault, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
    /// Not HTTP as RFC 9112 has it.
    Malformed,
    /// A version of HTTP other than 1.0 and 1.1 (RFC 9112 §2.3).
    BadVersion,
    /// A target with a fragment (RFC 9112 §3.2).
    BadTarget,
    /// A body that two readers could end in two places (RFC 9112 §6.3).
    BadFraming,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownCoding,
    /// A request line over its limit.
    TargetTooLong,
    /// A header section over its limit in bytes, or with more than 100 fields.
    HeaderTooLarge,
}

/// Why an endpoint's bytes are no response; the client gets 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFault {
    /// Not HTTP as RFC 9112 has it, or framed in a way that two readers could read differently. The endpoint's fault.
    Malformed,
    /// More than 1,024 fields: our limit, and no illness of the endpoint.
    TooManyFields,
}

/// A body that is not framed as RFC 9112 §7 says; the fault of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBody;

impl RequestFault {
    /// The status the client gets.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::BadTarget | Self::BadFraming => StatusCode::BAD_REQUEST,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::BadVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// The word for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "bad_request",
            Self::BadVersion => "bad_version",
            Self::BadTarget => "bad_target",
            Self::BadFraming => "bad_framing",
            Self::UnknownCoding => "unknown_coding",
            Self::TargetTooLong => "target_too_long",
            Self::HeaderTooLarge => "header_too_large",
        }
    }
}
