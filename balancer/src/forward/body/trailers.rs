//! What may stand behind a body.

use http::{HeaderMap, HeaderName, header};

use super::super::scan::{Class, TRACEPARENT, class};

/// Trailers without what means framing, routing, authentication or identity (RFC 9110 §6.5.1).
pub(super) fn allowed(mut trailers: HeaderMap) -> HeaderMap {
    let forbidden: Vec<HeaderName> = trailers.keys().filter(|name| !may_trail(name)).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
    trailers
}

fn may_trail(name: &HeaderName) -> bool {
    let of_the_head = [
        header::TRAILER,
        header::EXPECT,
        header::MAX_FORWARDS,
        header::VIA,
        header::AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        TRACEPARENT,
    ];
    class(name) == Class::EndToEnd && !of_the_head.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_says_nothing_that_belongs_to_the_head() {
        let mut trailers = HeaderMap::new();
        for name in
            ["x-checksum", "x-real-ip", "x-request-id", "x_forwarded_for", "proxy-authorization", "proxy", "via"]
        {
            trailers.append(HeaderName::from_static(name), "1".parse().unwrap());
        }
        for name in [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::COOKIE, TRACEPARENT] {
            trailers.append(name, "1".parse().unwrap());
        }
        assert_eq!(allowed(trailers).keys().collect::<Vec<_>>(), ["x-checksum"]);
    }
}
