//! The head of a request that came in frames, as every other room knows heads (RFC 9113 §8.3). Pure.
//!
//! Decides what of HTTP/2 means what in HTTP/1.1: host, target, cookies, framing. Called by [`super::serve`] for each request. Never
//! decides whether it is forwarded: that is the same for all versions.

use http::header::{COOKIE, HOST};
use http::request::Parts;

use crate::http1::{Fields, RequestFault, RequestHead};

/// The head in `parts`. `has_body`: whether its stream goes on behind it.
///
/// # Errors
/// What is wrong with it, besides what the library has refused already: names in upper case, fields of a connection, a `TE` other than
/// `trailers`, pseudo-fields that lack, are unknown or come late.
pub(super) fn head_of(parts: &Parts, has_body: bool) -> Result<RequestHead, RequestFault> {
    let mut fields = Fields::default();
    hosts(parts, &mut fields);
    for (name, value) in &parts.headers {
        let value = value.as_bytes();
        // §8.2.1: a reader of HTTP/1 would take these for no part of it.
        if value.trim_ascii().len() != value.len() {
            return Err(RequestFault::Malformed);
        }
        if name != HOST && name != COOKIE {
            fields.append(name.as_str(), value);
        }
    }
    // §8.2.3: a cookie may come in pieces, for the sake of compression.
    let cookies: Vec<&[u8]> = parts.headers.get_all(COOKIE).iter().map(|cookie| cookie.as_bytes()).collect();
    if !cookies.is_empty() {
        fields.append("cookie", &cookies.join(&b"; "[..]));
    }
    // CONNECT has none; it is refused by whoever knows methods.
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    RequestHead::of_frames(parts.method.clone(), target, fields, has_body)
}

/// `:authority` becomes `Host`. A field that says the same is the same; one that says otherwise is a second host, which is refused like
/// two fields (§8.3.1).
fn hosts(parts: &Parts, fields: &mut Fields) {
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(authority) = authority {
        fields.append("host", authority);
    }
    let said: Vec<&[u8]> = parts.headers.get_all(HOST).iter().map(|host| host.as_bytes()).collect();
    let is_the_same = |host: &[u8]| authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    match said[..] {
        [host] if is_the_same(host) => {}
        _ => said.iter().for_each(|host| fields.append("host", host)),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::http1::{BodyLength, Version};

    fn head(uri: &str, fields: &[(&str, &str)], has_body: bool) -> Result<RequestHead, RequestFault> {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        head_of(&request.body(()).unwrap().into_parts().0, has_body)
    }

    fn shown(head: &RequestHead) -> Vec<String> {
        let show = |bytes| String::from_utf8_lossy(bytes).into_owned();
        head.fields.iter().map(|field| format!("{}: {}", show(field.spelled), show(field.value))).collect()
    }

    #[test]
    fn a_head_in_frames_says_what_one_in_lines_would() {
        let fields = [("cookie", "a=1"), ("x-own", "b"), ("cookie", "c=2"), ("host", "A.test:81")];
        let head = head("http://a.test:81/x?y", &fields, true).unwrap();
        assert_eq!((head.version, head.length, head.target()), (Version::Http2, BodyLength::Chunked, "/x?y"));
        assert_eq!(shown(&head), ["host: a.test:81", "x-own: b", "cookie: a=1; c=2"]);
        let mut out = Vec::new();
        head.fields.write(&mut out, |_| true);
        assert_eq!(out, b"host: a.test:81\r\nx-own: b\r\ncookie: a=1; c=2\r\n");
    }

    #[test]
    fn hosts_that_differ_are_two() {
        for (uri, hosts, expected) in [
            ("http://a.test/", &["a.test"][..], 1),
            ("http://a.test/", &["b.test"], 2),
            ("http://a.test/", &["a.test", "a.test"], 3),
            ("/", &["a.test"], 1),
            ("/", &["a.test", "a.test"], 2),
            ("/", &[], 0),
        ] {
            let fields: Vec<(&str, &str)> = hosts.iter().map(|host| ("host", *host)).collect();
            let head = head(uri, &fields, false).unwrap();
            assert_eq!(head.fields.all(crate::http1::Name::Host).count(), expected, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn the_length_is_what_the_field_and_the_stream_say() {
        let length = |fields: &[(&str, &str)], has_body| head("/", fields, has_body).map(|head| head.length);
        assert_eq!(length(&[], false), Ok(BodyLength::None));
        assert_eq!(length(&[], true), Ok(BodyLength::Chunked));
        assert_eq!(length(&[("content-length", "7")], true), Ok(BodyLength::Known(7)));
        assert_eq!(length(&[("content-length", "0")], false), Ok(BodyLength::Known(0)));
        assert_eq!(length(&[("content-length", "7")], false), Err(RequestFault::BadFraming));
        assert_eq!(length(&[("content-length", "+7")], true), Err(RequestFault::BadFraming));
        assert_eq!(length(&[("content-length", "7"), ("content-length", "8")], true), Err(RequestFault::BadFraming));
        assert_eq!(length(&[("transfer-encoding", "gzip")], true), Err(RequestFault::UnknownCoding));
    }

    #[test]
    fn too_many_fields_and_white_space_around_a_value_are_refused() {
        let many: Vec<(String, String)> = (0..101).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(head("/", &many, false).err(), Some(RequestFault::HeaderTooLarge));
        assert_eq!(head("/", &[("x-own", " b")], false).err(), Some(RequestFault::Malformed));
        assert_eq!(head("/", &[("x-own", "b\t")], false).err(), Some(RequestFault::Malformed));
    }
}
