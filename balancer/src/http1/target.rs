//! The forms of a request target (RFC 9112 §3.2).

/// A request target, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestTarget<'a> {
    /// `/path?query`.
    Origin(&'a str),
    /// `http://authority` and what follows, which may be empty or begin with `?`.
    Absolute {
        /// Host and port.
        authority: &'a str,
        /// Path and query.
        rest: &'a str,
    },
    /// `*`.
    Asterisk,
    /// Anything else.
    Other,
}

impl<'a> RequestTarget<'a> {
    /// Takes a target apart.
    pub fn of(target: &'a str) -> Self {
        if target.starts_with('/') {
            return Self::Origin(target);
        }
        if target == "*" {
            return Self::Asterisk;
        }
        let Some((scheme, rest)) = target.split_once("://") else { return Self::Other };
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Self::Other;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        Self::Absolute { authority, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_form() {
        assert_eq!(RequestTarget::of("/a?b"), RequestTarget::Origin("/a?b"));
        assert_eq!(RequestTarget::of("//a"), RequestTarget::Origin("//a"));
        assert_eq!(RequestTarget::of("*"), RequestTarget::Asterisk);
        assert_eq!(RequestTarget::of("HTTP://a:1?b/c"), RequestTarget::Absolute { authority: "a:1", rest: "?b/c" });
        assert_eq!(RequestTarget::of("https://a"), RequestTarget::Absolute { authority: "a", rest: "" });
        for other in ["a", "a:80", "ftp://a/", "http:/x", "**", "http"] {
            assert_eq!(RequestTarget::of(other), RequestTarget::Other, "{other}");
        }
    }
}
