//! `proxy_pass` → whom it names. Decides which targets can be an endpoint of ours; called by [`super::location`]; never makes a pool.

/// What a location passes its requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    /// Name of an upstream, `host`, `host:port` or `unix:/path`.
    pub(super) origin: String,
    /// Whether it speaks gRPC.
    pub(super) grpc: bool,
    /// What takes the place of the location's own path.
    pub(super) uri: Option<String>,
}

/// Reads the argument of `proxy_pass` or `grpc_pass`; the error is why it cannot be taken.
pub(super) fn read(text: &str, grpc: bool) -> Result<Pass, &'static str> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) if !grpc => rest,
        Some(("grpc", rest)) if grpc => rest,
        None if grpc => text,
        Some(("https" | "grpcs", _)) => {
            return Err("TLS to endpoints is not imported: write this pool by hand, with [pool.NAME.tls]");
        }
        _ => return Err("that is no address of an endpoint"),
    };
    let (origin, uri) = match rest.strip_prefix("unix:") {
        // `unix:/run/app.sock:/path`
        Some(path) => match path.split_once(':') {
            Some((path, uri)) => (format!("unix:{path}"), Some(uri)),
            None => (format!("unix:{path}"), None),
        },
        None => match rest.find(['/', '?', '$']) {
            Some(at) if rest.as_bytes().get(at) == Some(&b'$') && at > 0 && !is_request(&rest[at..]) => {
                return Err("the address is made up for each request: endpoints are fixed, or those of a name");
            }
            Some(at) => (rest[..at].to_owned(), Some(&rest[at..])),
            None => (rest.to_owned(), None),
        },
    };
    if origin.is_empty() || origin.contains('$') {
        return Err("the address is made up for each request: endpoints are fixed, or those of a name");
    }
    let uri = uri.filter(|uri| !uri.is_empty() && !is_request(uri)).map(str::to_owned);
    Ok(Pass { origin, grpc, uri })
}

/// Whether it is the client's own path and query, which go on anyway.
fn is_request(uri: &str) -> bool {
    ["$request_uri", "$uri$is_args$args", "$uri"].contains(&uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_upstream_an_address_or_a_socket() {
        let pass = |origin: &str, uri: Option<&str>| {
            Ok(Pass { origin: origin.to_owned(), grpc: false, uri: uri.map(str::to_owned) })
        };
        for (text, expected) in [
            ("http://app", pass("app", None)),
            ("http://app/", pass("app", Some("/"))),
            ("http://127.0.0.1:3000/v1/", pass("127.0.0.1:3000", Some("/v1/"))),
            ("http://[::1]:3000", pass("[::1]:3000", None)),
            ("http://app$request_uri", pass("app", None)),
            ("http://unix:/run/app.sock", pass("unix:/run/app.sock", None)),
            ("http://unix:/run/app.sock:/v1/", pass("unix:/run/app.sock", Some("/v1/"))),
        ] {
            assert_eq!(read(text, false), expected, "{text}");
        }
        for text in ["https://app", "http://$app", "http://app-$id.test", "http://", "ftp://app", "app", ""] {
            assert!(read(text, false).is_err(), "{text}");
        }
        assert_eq!(
            read("grpc://app:50051", true).map(|pass| (pass.origin, pass.grpc)),
            Ok(("app:50051".to_owned(), true))
        );
        assert!(read("grpcs://app", true).is_err());
    }
}
