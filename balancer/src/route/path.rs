//! Paths for matching: what different spellings of one path have in common (RFC 3986 §6.2.2).

use std::borrow::Cow;

/// The path with percent-encodings read, empty and dot segments gone. An encoded slash or NUL stays encoded: it is data to
/// whoever reads the path, not a separator.
pub(super) fn normalised(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let decoded = decoded(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    let ends_in_slash = ["/", "/.", "/.."].iter().any(|end| decoded.ends_with(end));
    let mut path = String::with_capacity(decoded.len());
    for segment in &segments {
        path.push('/');
        path.push_str(segment);
    }
    if path.is_empty() || ends_in_slash {
        path.push('/');
    }
    Cow::Owned(path)
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let encoded = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        match encoded {
            Some(value) if value != b'/' && value != 0 => {
                bytes.push(value);
                rest = &tail[2..];
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_become_one() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("/", "/"),
            ("/a/", "/a/"),
            ("//a///b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/%41%2f%zz%", "/A%2f%zz%"),
            ("/a/%2e%2e/b", "/b"),
            ("/%C3%A9", "/é"),
        ] {
            assert_eq!(normalised(path), expected, "{path}");
        }
    }
}
