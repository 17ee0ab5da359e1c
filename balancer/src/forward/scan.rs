//! One look at the fields of a request: what the few say that we act on.

use http::Method;

use super::error::Fault;
use crate::http1::{Fields, Name, RequestHead, Version, lists};

/// What the fields of a request say. Looked at once; a look-up by name for each question would cost more than the answers.
#[derive(Debug, Default, Clone, Copy)]
pub struct Scan {
    /// How many `Host` fields there are.
    pub(super) hosts: usize,
    /// Whether `Connection` may name fields.
    pub(super) names_fields: bool,
    /// Whether the client waits for a 100 before it sends its body.
    pub(super) expects_continue: bool,
    /// Whether it asks for another protocol that we may pass on.
    pub(super) upgrade: bool,
    /// Whether it brings one `traceparent`.
    pub(super) traced: bool,
    /// Whether it has passed a gateway before us.
    pub(super) via: bool,
    /// How many more gateways an OPTIONS request may pass (RFC 9110 §7.6.2).
    pub(super) max_forwards: Option<u64>,
    /// Whether it brings a name that a worker may read as another field's.
    pub(super) ambiguous: bool,
    /// Whether a person waits for a page: then interim responses are welcome (RFC 8297 §3).
    pub(super) navigates: bool,
}

/// What a field is to an intermediary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Forwarded, unless `Connection` names it.
    EndToEnd,
    /// For one connection only (RFC 9110 §7.6.1), or for us.
    HopByHop,
    /// Framing and routing: written anew by us, and not to be removed by naming it in `Connection`.
    Framing,
    /// Says who the client is: ours to say, unless the peer is trusted.
    Identity,
    /// `TE`: of this connection, but `trailers` is asked of the worker too.
    Te,
    /// `Upgrade`.
    Upgrade,
    /// A CGI-like worker may read it as another field.
    Ambiguous,
}

impl Scan {
    /// Looks at the fields of a request.
    ///
    /// # Errors
    /// [`Fault::ExpectationFailed`] for an expectation other than `100-continue` (RFC 9110 §10.1.1).
    pub fn of(head: &RequestHead) -> Result<Self, Fault> {
        let mut scan = Self::default();
        let is_1_1 = head.version == Version::Http11;
        // `h2c` is never passed on: we would not see the requests in it. Neither is an upgrade with a body in front of it:
        // where that ends and the other protocol begins, two readers may see differently.
        let (mut h2c, mut has_body, mut traces) = (false, false, 0);
        for field in head.fields.iter() {
            match field.name {
                Name::Host => scan.hosts += 1,
                Name::ContentLength => has_body |= field.value != b"0",
                Name::TransferEncoding => has_body = true,
                Name::Connection => scan.names_fields |= names_some(field.value),
                Name::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => {
                    // RFC 9110 §10.1.1: ignored from an HTTP/1.0 client.
                    scan.expects_continue = is_1_1;
                }
                Name::Expect => return Err(Fault::ExpectationFailed),
                Name::Via => scan.via = true,
                Name::MaxForwards if head.method == Method::OPTIONS => {
                    scan.max_forwards = std::str::from_utf8(field.value).ok().and_then(|number| number.parse().ok());
                }
                Name::Upgrade => {
                    scan.upgrade = is_1_1;
                    h2c |= field.value.split(|&byte| byte == b',').any(is_h2c);
                }
                Name::Traceparent => traces += 1,
                Name::Ambiguous => scan.ambiguous = true,
                Name::SecFetchMode => scan.navigates = is_1_1 && field.value == b"navigate",
                _ => {}
            }
        }
        // W3C Trace Context §2.3: of several none counts.
        scan.traced = traces == 1 && !scan.names(head, b"traceparent");
        scan.upgrade &= !h2c && !has_body && scan.names(head, b"upgrade");
        Ok(scan)
    }

    /// Whether `Connection` names that field.
    pub(super) fn names(&self, head: &RequestHead, name: &[u8]) -> bool {
        self.names_fields && named(&head.fields, name)
    }

    /// Whether the request is for us and goes no further (RFC 9110 §7.6.2).
    pub fn ends_here(&self) -> bool {
        self.max_forwards == Some(0)
    }
}

/// Whether a message's `Connection` fields name that one.
pub(super) fn named(fields: &Fields, name: &[u8]) -> bool {
    fields.all(Name::Connection).any(|value| lists(value, name))
}

/// What a field of that name is.
pub(super) fn class(name: Name) -> Class {
    match name {
        Name::Connection
        | Name::Http2Settings
        | Name::KeepAlive
        // `Proxy` becomes HTTP_PROXY in a CGI environment (CVE-2016-5385).
        | Name::Proxy
        | Name::ProxyAuthenticate
        | Name::ProxyAuthorization
        | Name::ProxyConnection => Class::HopByHop,
        Name::ContentLength | Name::TransferEncoding | Name::Host => Class::Framing,
        Name::Te => Class::Te,
        Name::Upgrade => Class::Upgrade,
        Name::Forwarded
        | Name::Identity
        | Name::XForwardedFor
        | Name::XForwardedHost
        | Name::XForwardedProto
        | Name::XRequestId
        | Name::XRequestStart => Class::Identity,
        Name::Ambiguous => Class::Ambiguous,
        _ => Class::EndToEnd,
    }
}

/// Whether a `Connection` value names anything but the options that name no field.
fn names_some(value: &[u8]) -> bool {
    !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close")
}

fn is_h2c(protocol: &[u8]) -> bool {
    protocol.trim_ascii().get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
}
