//! The writer: every message we send, both ways, is put together from these pieces.

use http::{Method, StatusCode};

use super::fields::Fields;

/// Writes the request line of an upstream request: HTTP/1.1, always.
pub fn request_line(out: &mut Vec<u8>, method: &Method, target: &str) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes a status line. Without a reason phrase, the one of the RFC.
pub fn status_line(out: &mut Vec<u8>, status: StatusCode, reason: &[u8]) {
    if status == StatusCode::OK && matches!(reason, b"" | b"OK") {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    match reason {
        b"" => out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes()),
        reason => out.extend_from_slice(reason),
    }
    out.extend_from_slice(b"\r\n");
}

/// The line before a chunk of `length` bytes (RFC 9112 §7.1), at the end of `prefix`; how many bytes it has.
pub fn chunk_prefix(prefix: &mut [u8; CHUNK_PREFIX_MAX], length: usize) -> usize {
    let mut at = CHUNK_PREFIX_MAX - 2;
    prefix[at..].copy_from_slice(b"\r\n");
    let mut rest = length;
    loop {
        at -= 1;
        prefix[at] = b"0123456789abcdef"[rest & 0xF];
        rest >>= 4;
        if rest == 0 {
            return CHUNK_PREFIX_MAX - at;
        }
    }
}

/// Writes what ends a chunked body: the last chunk, those trailers, the empty line.
pub fn trailer_section(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    trailers.write(out, |_| true);
    out.extend_from_slice(b"\r\n");
}

/// 16 digits and CRLF.
pub const CHUNK_PREFIX_MAX: usize = 18;
/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_rfc_has_them() {
        let mut out = Vec::new();
        request_line(&mut out, &Method::from_bytes(b"x!y").unwrap(), "/a?b");
        status_line(&mut out, StatusCode::OK, b"");
        status_line(&mut out, StatusCode::NOT_FOUND, b"");
        status_line(&mut out, StatusCode::NOT_FOUND, b"No \xff");
        assert_eq!(
            out.escape_ascii().to_string(),
            "x!y /a?b HTTP/1.1\\r\\nHTTP/1.1 200 OK\\r\\nHTTP/1.1 404 Not Found\\r\\nHTTP/1.1 404 No \\xff\\r\\n"
        );
        let mut prefix = [0; CHUNK_PREFIX_MAX];
        for (length, line) in [(1, "1\r\n"), (16, "10\r\n"), (65_535, "ffff\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
        {
            let size = chunk_prefix(&mut prefix, length);
            assert_eq!(&prefix[CHUNK_PREFIX_MAX - size..], line.as_bytes());
        }
    }
}
