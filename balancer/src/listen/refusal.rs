//! Requests that are refused before the service sees them.

use http::StatusCode;

use crate::http1::RequestFault;

/// A request that never reached the service, and has been answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// What has come is no request.
    NoRequest(RequestFault),
    /// Its proxy, which is to tell who the client is, has sent no header of the PROXY protocol.
    BadProxyHeader,
    /// The same, within `header_timeout`.
    SlowProxyHeader,
    /// It came without TLS to where TLS is spoken.
    PlainOnTls,
    /// It came over TLS to where none is spoken.
    TlsOnPlain,
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
            Self::NoRequest(fault) => fault.status(),
            Self::BadProxyHeader | Self::PlainOnTls | Self::TlsOnPlain => StatusCode::BAD_REQUEST,
            Self::SlowHeader | Self::SlowProxyHeader => StatusCode::REQUEST_TIMEOUT,
            Self::ConnectionsMax | Self::DescriptorLimit => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoRequest(fault) => fault.reason(),
            Self::BadProxyHeader => "bad_proxy_header",
            Self::SlowProxyHeader => "slow_proxy_header",
            Self::TlsOnPlain => "tls_on_plain_port",
            Self::PlainOnTls => "plain_http_on_tls_port",
            Self::SlowHeader => "slow_header",
            Self::ConnectionsMax => "connections_max",
            Self::DescriptorLimit => "descriptor_limit",
        }
    }
}
