//! One look at the fields of a message: what each is to an intermediary, and what the few say that we act on.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};

use super::error::Fault;

/// What the fields of a request say. Looked at once; a look-up by name for each question would cost more than the answers.
#[derive(Debug)]
pub struct Scan<'a> {
    classes: [Class; FIELDS_MAX],
    named: Named<'a>,
    /// The `Host` field, if there is exactly one.
    pub(super) host: Option<&'a HeaderValue>,
    /// How many `Host` fields there are.
    pub(super) hosts: usize,
    /// Whether there is a `Content-Length`.
    pub(super) length: bool,
    /// Whether the client waits for a 100 before it sends its body.
    pub(super) expects_continue: bool,
    /// Whether it asks for another protocol that we may pass on.
    pub(super) upgrade: bool,
    /// Whether it brings a `traceparent`.
    pub(super) traced: bool,
    /// Whether it has passed a gateway before us.
    pub(super) via: bool,
    /// How many more gateways an OPTIONS request may pass (RFC 9110 §7.6.2).
    pub(super) max_forwards: Option<u64>,
    /// Whether it brings a name that a worker may read as another field's.
    pub(super) ambiguous: bool,
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

/// The names in a message's `Connection` fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    headers: Option<&'a HeaderMap>,
}

impl<'a> Scan<'a> {
    /// Looks at the fields of `request`.
    ///
    /// # Errors
    /// [`Fault::ExpectationFailed`] for an expectation other than `100-continue` (RFC 9110 §10.1.1).
    pub fn of(request: &'a Parts) -> Result<Self, Fault> {
        let mut scan = Self {
            classes: [Class::EndToEnd; FIELDS_MAX],
            named: Named { headers: None },
            host: None,
            hosts: 0,
            length: false,
            expects_continue: false,
            upgrade: false,
            traced: false,
            via: false,
            max_forwards: None,
            ambiguous: false,
        };
        let is_1_1 = request.version == Version::HTTP_11;
        // `h2c` is never passed on: we would not see the requests in it. Neither is an upgrade with a body in front of it:
        // where that ends and the other protocol begins, two readers may see differently.
        let (mut h2c, mut has_body, mut several_traces) = (false, false, false);
        for (index, (name, value)) in request.headers.iter().enumerate() {
            let class = class(name);
            if let Some(kept) = scan.classes.get_mut(index) {
                *kept = class;
            }
            scan.ambiguous |= class == Class::Ambiguous;
            match *name {
                header::HOST => {
                    scan.hosts += 1;
                    scan.host = Some(value);
                }
                header::CONTENT_LENGTH => {
                    scan.length = true;
                    has_body |= value.as_bytes() != b"0";
                }
                header::TRANSFER_ENCODING => has_body = true,
                header::CONNECTION if names_some(value) => scan.named.headers = Some(&request.headers),
                header::EXPECT if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
                    // RFC 9110 §10.1.1: ignored from an HTTP/1.0 client.
                    scan.expects_continue = is_1_1;
                }
                header::EXPECT => return Err(Fault::ExpectationFailed),
                header::VIA => scan.via = true,
                header::MAX_FORWARDS if request.method == Method::OPTIONS => {
                    scan.max_forwards = value.to_str().ok().and_then(|number| number.parse().ok());
                }
                header::UPGRADE => {
                    scan.upgrade = is_1_1;
                    h2c |= value.as_bytes().get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"));
                }
                _ if class == Class::EndToEnd && name == TRACEPARENT => {
                    // W3C Trace Context §2.3: of several none counts.
                    several_traces |= scan.traced;
                    scan.traced = true;
                }
                _ => {}
            }
        }
        if several_traces {
            scan.forget_traces(request);
        }
        scan.traced &= !scan.named.contains(&TRACEPARENT);
        scan.upgrade &= !h2c && !has_body && scan.named.contains(&header::UPGRADE);
        Ok(scan)
    }

    fn forget_traces(&mut self, request: &Parts) {
        self.traced = false;
        for (class, name) in self.classes.iter_mut().zip(request.headers.iter().map(|(name, _)| name)) {
            if *name == TRACEPARENT {
                *class = Class::HopByHop;
            }
        }
    }

    /// Whether the request is for us and goes no further (RFC 9110 §7.6.2).
    pub fn ends_here(&self) -> bool {
        self.max_forwards == Some(0)
    }

    /// What the field at `index`, in the order of the map, is.
    pub(super) fn class(&self, index: usize, name: &HeaderName) -> Class {
        self.classes.get(index).copied().unwrap_or_else(|| class(name))
    }

    /// The names in `Connection`.
    pub(super) fn named(&self) -> Named<'a> {
        self.named
    }
}

impl<'a> Named<'a> {
    /// Of these fields.
    pub(super) fn by(headers: &'a HeaderMap) -> Self {
        let names_some = headers.get_all(header::CONNECTION).iter().any(names_some);
        Self { headers: names_some.then_some(headers) }
    }

    /// Whether any of these fields is named.
    pub(super) fn any_of(&self, headers: &HeaderMap) -> bool {
        self.headers.is_some() && headers.keys().any(|name| self.contains(name))
    }

    pub(super) fn contains(&self, name: &HeaderName) -> bool {
        let Some(headers) = self.headers else { return false };
        let fields = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
        let mut names = fields.flat_map(|field| field.split(|&byte| byte == b','));
        names.any(|named| named.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    }
}

/// What a field of that name is.
pub(super) fn class(name: &HeaderName) -> Class {
    match *name {
        header::CONNECTION | header::PROXY_AUTHENTICATE | header::PROXY_AUTHORIZATION => Class::HopByHop,
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::HOST => Class::Framing,
        header::TE => Class::Te,
        header::UPGRADE => Class::Upgrade,
        header::FORWARDED => Class::Identity,
        // The most frequent of those that the look at the text would let pass anyway.
        header::ACCEPT | header::ACCEPT_ENCODING | header::ACCEPT_LANGUAGE | header::USER_AGENT | header::REFERER => {
            Class::EndToEnd
        }
        header::CONTENT_TYPE | header::COOKIE | header::CACHE_CONTROL | header::AUTHORIZATION | header::ORIGIN => {
            Class::EndToEnd
        }
        header::DATE | header::SERVER | header::ETAG | header::LAST_MODIFIED | header::VARY | header::SET_COOKIE => {
            Class::EndToEnd
        }
        _ => class_of_text(name.as_str()),
    }
}

fn class_of_text(name: &str) -> Class {
    match name {
        // `Proxy` becomes HTTP_PROXY in a CGI environment (CVE-2016-5385).
        "keep-alive" | "proxy-connection" | "proxy" => Class::HopByHop,
        "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-server"
        | "x-real-ip" | "x-request-id" | "x-request-start" => Class::Identity,
        text if text.bytes().any(|byte| matches!(byte, b'_' | b'.')) => Class::Ambiguous,
        _ => Class::EndToEnd,
    }
}

/// Whether a `Connection` value names anything but the options that name no field.
fn names_some(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close")
}

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the parser lets pass at most, and a little more.
const FIELDS_MAX: usize = 104;
