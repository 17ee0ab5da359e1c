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
    /// Which of the protocols that become a tunnel it asks for, a bit each in the order of the configuration.
    pub(super) upgrades: u8,
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
    /// A CGI-like worker may read it as one that says who the client is.
    AmbiguousIdentity,
}

impl Scan {
    /// Looks at the fields of a request. `upgrades` are the protocols that become a tunnel.
    ///
    /// # Errors
    /// [`Fault::ExpectationFailed`] for an expectation other than `100-continue` (RFC 9110 §10.1.1); [`Fault::HeaderTooLarge`]
    /// when `Connection` names too many fields; [`Fault::Loop`] when it has passed us too often (RFC 9110 §7.6.3).
    pub fn of(head: &RequestHead, upgrades: &[String]) -> Result<Self, Fault> {
        let mut scan = Self::default();
        let is_1_1 = head.version != Version::Http10;
        let (mut has_body, mut traces, mut named, mut passes) = (false, 0, 0, 0);
        for field in head.fields.iter() {
            match field.name {
                Name::Host => scan.hosts += 1,
                Name::ContentLength => has_body |= field.value != b"0",
                Name::TransferEncoding => has_body = true,
                Name::Connection if names_some(field.value) => {
                    scan.names_fields = true;
                    named += elements(field.value);
                }
                Name::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => {
                    // RFC 9110 §10.1.1: ignored from an HTTP/1.0 client.
                    scan.expects_continue = is_1_1;
                }
                Name::Expect => return Err(Fault::ExpectationFailed),
                Name::Via => {
                    scan.via = true;
                    passes += own_passes(field.value);
                }
                Name::MaxForwards if head.method == Method::OPTIONS => {
                    scan.max_forwards = std::str::from_utf8(field.value).ok().and_then(|number| number.parse().ok());
                }
                Name::Upgrade if is_1_1 => scan.upgrades |= protocols(field.value, upgrades),
                Name::Traceparent => traces += 1,
                Name::Ambiguous | Name::AmbiguousIdentity => scan.ambiguous = true,
                Name::SecFetchMode => scan.navigates = is_1_1 && field.value == b"navigate",
                _ => {}
            }
        }
        if named > NAMES_MAX {
            return Err(Fault::HeaderTooLarge);
        }
        if passes >= PASSES_MAX {
            return Err(Fault::Loop);
        }
        // W3C Trace Context §2.3: of several none counts.
        scan.traced = traces == 1 && !scan.names(head, b"traceparent");
        // With a body in front of it, two readers may see differently where that ends and the other protocol begins.
        if has_body || !scan.names(head, b"upgrade") {
            scan.upgrades = 0;
        }
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
        Name::AmbiguousIdentity => Class::AmbiguousIdentity,
        _ => Class::EndToEnd,
    }
}

/// Whether a `Connection` value names anything but the options that name no field.
pub(super) fn names_some(value: &[u8]) -> bool {
    !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close")
}

/// How many elements a list has, empty ones too.
pub(super) fn elements(value: &[u8]) -> usize {
    memchr::memchr_iter(b',', value).count() + 1
}

/// Which of `known` are among the protocols of an `Upgrade` value, a bit each (RFC 9110 §7.8).
pub(super) fn protocols(value: &[u8], known: &[String]) -> u8 {
    let listed = known.iter().enumerate().filter(|(_, protocol)| lists(value, protocol.as_bytes()));
    listed.fold(0, |all, (index, _)| all | 1 << index)
}

/// Names that `Connection` may list, in a request and in a response. Each field is compared with each of them: 14,000 cost 60
/// times what a request does. Real messages name one or two.
pub(super) const NAMES_MAX: usize = 32;

/// How many gateways of our name a `Via` value tells of.
fn own_passes(value: &[u8]) -> usize {
    let received_by = |gateway: &[u8]| gateway.trim_ascii().split(|&byte| byte == b' ').nth(1) == Some(OWN_NAME);
    value.split(|&byte| byte == b',').filter(|gateway| received_by(gateway)).count()
}

/// What we call ourselves in `Via`.
const OWN_NAME: &[u8] = b"balancer";
/// What we put into it (RFC 9110 §7.6.3), behind those of the gateways before us; the last line of a request's head.
pub(super) const OWN_VIA: &[u8] = b"Via: 1.1 balancer\r\n\r\n";
/// Nobody puts so many of us behind each other on purpose; a request that goes in a circle gets there at once.
const PASSES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(via: &[&str]) -> Result<Scan, Fault> {
        let via: String = via.iter().map(|value| format!("Via: {value}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{via}\r\n");
        Scan::of(&RequestHead::parse(head.as_bytes(), Fields::default()).unwrap(), &[])
    }

    #[test]
    fn a_request_that_has_passed_us_eight_times_goes_in_a_circle() {
        let ours = "1.1 balancer";
        assert!(scan(&[ours; 7]).is_ok() && scan(&["1.1 nginx"; 20]).is_ok());
        assert_eq!(scan(&[ours; 8]).unwrap_err(), Fault::Loop);
        assert_eq!(
            scan(&["1.1 balancer, 1.1 nginx, 1.0 balancer (x)", &[ours; 6].join(",")]).unwrap_err(),
            Fault::Loop
        );
        assert!(scan(&["1.1 balancers", "1.1 my-balancer", "balancer 1.1"].repeat(8)).is_ok());
    }
}
