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
        let (text, name) = match (bytes.len(), first | 0x20) {
            (2, b't') => ("te", Self::Te),
            (3, b'v') => ("via", Self::Via),
            (4, b'h') => ("host", Self::Host),
            (4, b'd') => ("date", Self::Date),
            (5, b'p') => ("proxy", Self::Proxy),
            (6, b'c') => ("cookie", Self::Cookie),
            (6, b'e') => ("expect", Self::Expect),
            (7, b'r') => ("referer", Self::Referer),
            (7, b't') => ("trailer", Self::Trailer),
            (7, b'u') => ("upgrade", Self::Upgrade),
            (9, b'f') => ("forwarded", Self::Forwarded),
            (9, b'x') => ("x-real-ip", Self::Identity),
            (10, b'c') => ("connection", Self::Connection),
            (10, b'k') => ("keep-alive", Self::KeepAlive),
            (10, b's') => ("set-cookie", Self::SetCookie),
            (10, b'u') => ("user-agent", Self::UserAgent),
            (11, b't') => ("traceparent", Self::Traceparent),
            (12, b'c') => ("content-type", Self::ContentType),
            (12, b'm') => ("max-forwards", Self::MaxForwards),
            (12, b'x') => ("x-request-id", Self::XRequestId),
            (13, b'a') => ("authorization", Self::Authorization),
            (13, b'c') if bytes[1] | 0x20 == b'a' => ("cache-control", Self::CacheControl),
            (13, b'c') => ("content-range", Self::ContentRange),
            (14, b'c') => ("content-length", Self::ContentLength),
            (14, b'h') => ("http2-settings", Self::Http2Settings),
            (14, b's') => ("sec-fetch-mode", Self::SecFetchMode),
            (15, b'x') if bytes[2] | 0x20 == b'r' => ("x-request-start", Self::XRequestStart),
            (15, b'x') => ("x-forwarded-for", Self::XForwardedFor),
            (16, b'c') => ("content-encoding", Self::ContentEncoding),
            (16, b'p') => ("proxy-connection", Self::ProxyConnection),
            (16, b'x') => ("x-forwarded-host", Self::XForwardedHost),
            (17, b't') => ("transfer-encoding", Self::TransferEncoding),
            (17, b'x') => ("x-forwarded-proto", Self::XForwardedProto),
            (18, b'p') => ("proxy-authenticate", Self::ProxyAuthenticate),
            (19, b'p') => ("proxy-authorization", Self::ProxyAuthorization),
            _ => return Self::of_others(bytes),
        };
        if bytes.eq_ignore_ascii_case(text.as_bytes()) { name } else { Self::of_others(bytes) }
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
