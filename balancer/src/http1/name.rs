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
    /// Holds a byte besides letters, digits and `-`: a CGI-like worker makes `_` of all of these (RFC 3875 §4.1.18 and what servers
    /// do), and so may read it as another field's name.
    Ambiguous,
    /// Such a name, which becomes one that says who the client is: `X_Forwarded_For`, `X-Real~IP`.
    AmbiguousIdentity,
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
        // Without an early exit, which is faster for nearly all of them.
        if bytes.iter().fold(true, |all, byte| all & MAPPED_TO_ITSELF[usize::from(*byte)]) {
            return if begins(bytes, FORWARDED) { Self::Identity } else { Self::Other };
        }
        let is_identity =
            begins(bytes, FORWARDED) || STATEMENTS.iter().any(|name| name.len() == bytes.len() && begins(bytes, name));
        if is_identity { Self::AmbiguousIdentity } else { Self::Ambiguous }
    }
}

/// Whether a CGI-like worker reads the begin of a name as `text`.
fn begins(bytes: &[u8], text: &[u8]) -> bool {
    let mapped = |byte: &u8| if byte.is_ascii_alphanumeric() { byte | 0x20 } else { b'-' };
    bytes.len() >= text.len() && bytes.iter().zip(text).all(|(byte, of)| mapped(byte) == *of)
}

/// Whether a name is `text`, which is in lower case. Of the bytes that a name may have, only letters differ by this bit.
fn is<const LENGTH: usize>(bytes: &[u8], text: &[u8; LENGTH]) -> bool {
    // Without an early exit, which the compiler makes sixteen bytes at a time.
    let differs = |bytes: &[u8; LENGTH]| bytes.iter().zip(text).fold(0, |all, (byte, of)| all | ((byte | 0x20) ^ of));
    bytes.first_chunk().is_some_and(|bytes| differs(bytes) == 0)
}

const FORWARDED: &[u8] = b"x-forwarded";
/// Other statements about a client or its request that hold a `-`.
const STATEMENTS: [&[u8]; 3] = [b"x-real-ip", b"x-request-id", b"x-request-start"];

/// Bytes that no other byte of a name becomes the same as.
const MAPPED_TO_ITSELF: [bool; 256] = {
    let mut itself = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        itself[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-';
        byte += 1;
    }
    itself
};

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
            ("X-Own!", Name::Ambiguous),
            ("Content~Length", Name::Ambiguous),
            ("X_Real_Ips", Name::Ambiguous),
            ("X_Forwarded_For", Name::AmbiguousIdentity),
            ("x.forwarded'anything", Name::AmbiguousIdentity),
            ("X-Forwarded~For", Name::AmbiguousIdentity),
            ("x-FORWARDED+", Name::AmbiguousIdentity),
            ("X-Real_IP", Name::AmbiguousIdentity),
            ("x|request|id", Name::AmbiguousIdentity),
            ("X_Request-Start", Name::AmbiguousIdentity),
            ("Hosts", Name::Other),
            ("hos", Name::Other),
            ("Accept", Name::Other),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
    }
}
