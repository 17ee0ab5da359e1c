//! Cookies of a request. Decides which pair counts; called by whoever routes by one. Never sets one.

use crate::http1::{Fields, Name};

/// The value of a cookie (RFC 6265 §4.2), which is bytes; of several, the first.
pub(super) fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut pairs = fields.all(Name::Cookie).flat_map(|field| field.split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (&pair[..equals], &pair[equals + 1..]);
        (key.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_over_several_fields() {
        let mut fields = Fields::default();
        fields.append("Cookie", "name=ü; a=1; lb=x".as_bytes());
        fields.append("cookie", b"b = 2;c=;=;d");
        assert_eq!(cookie(&fields, "lb"), Some(&b"x"[..]));
        assert_eq!(cookie(&fields, "b"), Some(&b"2"[..]));
        assert_eq!(cookie(&fields, "c"), Some(&b""[..]));
        assert_eq!(cookie(&fields, "d"), None);
    }
}
