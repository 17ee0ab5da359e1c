//! Requests that are refused before the service sees them.

use http::StatusCode;

/// A request that never reached the service, and has been answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP as RFC 9112 has it.
    Malformed,
    /// A version of HTTP other than 1.0 and 1.1.
    BadVersion,
    /// A target with a fragment (RFC 9112 §3.2).
    BadTarget,
    /// A body that two readers could end in two places (RFC 9112 §6.3).
    BadFraming,
    /// A chunked body that is not what RFC 9112 §7.1 says.
    BadBody,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownCoding,
    /// Its request line is longer than `header_bytes_max`, or its target than the parser's bound.
    TargetTooLong,
    /// Its header section is longer than `header_bytes_max` or has more than 100 fields.
    HeaderTooLarge,
    /// Its header section was not complete within `header_timeout`.
    SlowHeader,
    /// There are `connections_max` connections already.
    ConnectionsMax,
    /// There is no descriptor left for its connection.
    DescriptorLimit,
}

impl Refusal {
    /// The status the client got.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::BadTarget | Self::BadFraming | Self::BadBody => StatusCode::BAD_REQUEST,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::BadVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::SlowHeader => StatusCode::REQUEST_TIMEOUT,
            Self::ConnectionsMax | Self::DescriptorLimit => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "bad_request",
            Self::BadVersion => "bad_version",
            Self::BadTarget => "bad_target",
            Self::BadFraming => "bad_framing",
            Self::BadBody => "bad_body",
            Self::UnknownCoding => "unknown_coding",
            Self::TargetTooLong => "target_too_long",
            Self::HeaderTooLarge => "header_too_large",
            Self::SlowHeader => "slow_header",
            Self::ConnectionsMax => "connections_max",
            Self::DescriptorLimit => "descriptor_limit",
        }
    }

    /// Why the parser has refused `read`.
    pub(super) fn of(error: &hyper::Error, read: &[u8]) -> Self {
        // The parser says it only in words.
        match error.to_string() {
            text if text.contains("URI too long") => Self::TargetTooLong,
            _ if error.is_parse_too_large() => Self::HeaderTooLarge,
            _ if names_another_version(read) => Self::BadVersion,
            _ => Self::Malformed,
        }
    }
}

/// Whether a request line is one but for its version (RFC 9112 §2.3).
fn names_another_version(read: &[u8]) -> bool {
    let mut lines = read.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let version = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([_, ..]), Some([_, ..]), Some(version), None) => version,
        _ => return false,
    };
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        // The parser does not wait for the rest of the line.
        [b'H', b'T', b'T', b'P', b'/', major] | [b'H', b'T', b'T', b'P', b'/', major, b'.'] => {
            major.is_ascii_digit() && *major != b'1' && !read.ends_with(b"\n")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_another_one_only_where_all_else_is_a_request_line() {
        for line in ["GET / HTTP/2.0", "GET / HTTP/1.2", "\r\nPRI * HTTP/2.0", "GET / HTTP/0.9"] {
            assert!(names_another_version(format!("{line}\r\n\r\n").as_bytes()), "{line}");
        }
        for part in ["GET / HTTP/2", "GET / HTTP/3."] {
            assert!(names_another_version(part.as_bytes()), "{part}");
        }
        assert!(!names_another_version(b"GET /\x7f HTTP/1"), "it may become any");
        for line in
            ["", "GET /", "GET / HTTP/1.1", "GET / HTTP/2", "GET / http/2.0", "GET  / HTTP/2.0", "GET / x HTTP/2.0"]
        {
            assert!(!names_another_version(format!("{line}\r\n\r\n").as_bytes()), "{line}");
        }
    }
}
