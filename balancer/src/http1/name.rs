//! Field names that mean something to an intermediary.

/// A field name we act on, found once by its length and bytes; all others are [`Name::Other`] or [`Name::Ambiguous`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is called as its field")]
pub enum Name {
    Authorization,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentRange,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    KeepAlive,
    MaxForwards,
    Proxy,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Referer,
    SecFetchMode,
    SetCookie,
    Te,
    Traceparent,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRequestId,
    XRequestStart,
    /// Another name that says who the client is: `X-Real-IP`, and whatever else begins with `X-Forwarded`.
    Identity,
    /// Holds `_` or `.`: a CGI-like worker may read it as another field's name.
    Ambiguous,
    /// None of these.
    Other,
}

impl Name {
    /// The name in `bytes`, whatever its case.
    pub fn of(bytes: &[u8]) -> Self {
        let Some(first) = bytes.first() else { return Self::Other };
        let (found, name) = match (bytes.len(), first | 0x20) {
            (2, b't') => (is(bytes, b"te"), Self::Te),
            (3, b'v') => (is(bytes, b"via"), Self::Via),
            (4, b'h') => (is(bytes, b"host"), Self::Host),
            (4, b'd') => (is(bytes, b"date"), Self::Date),
            (5, b'p') => (is(bytes, b"proxy"), Self::Proxy),
            (6, b'c') => (is(bytes, b"cookie"), Self::Cookie),
            (6, b'e') => (is(bytes, b"expect"), Self::Expect),
            (7, b'r') => (is(bytes, b"referer"), Self::Referer),
            (7, b't') => (is(bytes, b"trailer"), Self::Trailer),
            (7, b'u') => (is(bytes, b"upgrade"), Self::Upgrade),
            (9, b'f') => (is(bytes, b"forwarded"), Self::Forwarded),
            (9, b'x') => (is(bytes, b"x-real-ip"), Self::Identity),
            (10, b'c') => (is(bytes, b"connection"), Self::Connection),
            (10, b'k') => (is(bytes, b"keep-alive"), Self::KeepAlive),
            (10, b's') => (is(bytes, b"set-cookie"), Self::SetCookie),
            (10, b'u') => (is(bytes, b"user-agent"), Self::UserAgent),
            (11, b't') => (is(bytes, b"traceparent"), Self::Traceparent),
            (12, b'c') => (is(bytes, b"content-type"), Self::ContentType),
            (12, b'm') => (is(bytes, b"max-forwards"), Self::MaxForwards),
            (12, b'x') => (is(bytes, b"x-request-id"), Self::XRequestId),
            (13, b'a') => (is(bytes, b"authorization"), Self::Authorization),
            (13, b'c') if bytes[1] | 0x20 == b'a' => (is(bytes, b"cache-control"), Self::CacheControl),
            (13, b'c') => (is(bytes, b"content-range"), Self::ContentRange),
            (14, b'c') => (is(bytes, b"content-length"), Self::ContentLength),
            (14, b'h') => (is(bytes, b"http2-settings"), Self::Http2Settings),
            (14, b's') => (is(bytes, b"sec-fetch-mode"), Self::SecFetchMode),
            (15, b'x') if bytes[2] | 0x20 == b'r' => (is(bytes, b"x-request-start"), Self::XRequestStart),
            (15, b'x') => (is(bytes, b"x-forwarded-for"), Self::XForwardedFor),
            (16, b'c') => (is(bytes, b"content-encoding"), Self::ContentEncoding),
            (16, b'p') => (is(bytes, b"proxy-connection"), Self::ProxyConnection),
            (16, b'x') => (is(bytes, b"x-forwarded-host"), Self::XForwardedHost),
            (17, b't') => (is(bytes, b"transfer-encoding"), Self::TransferEncoding),
            (17, b'x') => (is(bytes, b"x-forwarded-proto"), Self::XForwardedProto),
            (18, b'p') => (is(bytes, b"proxy-authenticate"), Self::ProxyAuthenticate),
            (19, b'p') => (is(bytes, b"proxy-authorization"), Self::ProxyAuthorization),
            _ => (false, Self::Other),
        };
        if found { name } else { Self::of_others(bytes) }
    }

    fn of_others(bytes: &[u8]) -> Self {
        if bytes.get(..FORWARDED.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED)) {
            return Self::Identity;
        }
        match memchr::memchr2(b'_', b'.', bytes) {
            Some(_) => Self::Ambiguous,
            None => Self::Other,
        }
    }
}

/// Whether a name is `text`, which is in lower case. Of the bytes that a name may have, only letters differ by this bit.
fn is<const LENGTH: usize>(bytes: &[u8], text: &[u8; LENGTH]) -> bool {
    // Without an early exit, which the compiler makes sixteen bytes at a time.
    let differs = |bytes: &[u8; LENGTH]| bytes.iter().zip(text).fold(0, |all, (byte, of)| all | ((byte | 0x20) ^ of));
    bytes.first_chunk().is_some_and(|bytes| differs(bytes) == 0)
}

const FORWARDED: &[u8] = b"x-forwarded";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whatever_its_case_and_only_whole() {
        for (text, name) in [
            ("host", Name::Host),
            ("Content-LENGTH", Name::ContentLength),
            ("transfer-Encoding", Name::TransferEncoding),
            ("Cache-Control", Name::CacheControl),
            ("Content-Range", Name::ContentRange),
            ("X-Request-Start", Name::XRequestStart),
            ("X-Forwarded-For", Name::XForwardedFor),
            ("X-Forwarded-Client-Cert", Name::Identity),
            ("X-Forwarded", Name::Identity),
            ("X-Real-IP", Name::Identity),
            ("X-Real-Is", Name::Other),
            ("content_length", Name::Ambiguous),
            ("X.Own", Name::Ambiguous),
            ("Hosts", Name::Other),
            ("hos", Name::Other),
            ("Accept", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
    }
}
