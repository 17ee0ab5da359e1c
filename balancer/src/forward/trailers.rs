//! What may stand behind a body.

use super::scan::{Class, class};
use crate::http1::{Fields, Name};

/// Takes out of trailers what means framing, routing, authentication or identity (RFC 9110 §6.5.1).
pub(super) fn keep_allowed(trailers: &mut Fields) {
    trailers.retain(|field| may_trail(field.name));
}

fn may_trail(name: Name) -> bool {
    let of_the_head = matches!(
        name,
        Name::Authorization
            | Name::CacheControl
            | Name::ContentEncoding
            | Name::ContentRange
            | Name::ContentType
            | Name::Cookie
            | Name::Expect
            | Name::MaxForwards
            | Name::SetCookie
            | Name::Traceparent
            | Name::Trailer
            | Name::Via
    );
    class(name) == Class::EndToEnd && !of_the_head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_says_nothing_that_belongs_to_the_head() {
        let mut trailers = Fields::default();
        for name in [
            "X-Checksum",
            "X-Real-IP",
            "X-Request-Id",
            "X_Forwarded_For",
            "Proxy-Authorization",
            "Proxy",
            "Via",
            "Host",
            "Content-Length",
            "Authorization",
            "Cookie",
            "traceparent",
            "X-Forwarded-Prefix",
        ] {
            trailers.append(name, b"1");
        }
        keep_allowed(&mut trailers);
        assert_eq!(trailers.iter().map(|field| field.spelled).collect::<Vec<_>>(), [b"X-Checksum"]);
    }
}
