//! Paths for matching: what different spellings of one path have in common (RFC 3986 §6.2.2).

use std::borrow::Cow;

use super::reading::Reading;

/// Whether every reader of a path reads the same: nothing in it is encoded, empty or a dot, begins parameters or is a `\`.
pub fn is_plain(path: &str) -> bool {
    let mut last = 0;
    path.bytes().all(|byte| {
        let odd = matches!(byte, b'%' | b';' | b'\\') || (last == b'/' && matches!(byte, b'/' | b'.'));
        last = byte;
        !odd
    })
}

/// The path with percent-encodings read, empty and dot segments gone. An encoded slash or NUL stays encoded: it is data to
/// whoever reads the path, not a separator.
pub fn normalised(path: &str) -> Cow<'_, str> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(resolved(&Reading::default().of(path)))
}

/// A path that is read already, without empty and dot segments.
pub fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    let ends_in_slash = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let mut normal = String::with_capacity(path.len());
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() || ends_in_slash {
        normal.push('/');
    }
    normal
}

/// A path that is read already, as servers have it that do not resolve all of it: as it is; without its empty segments; without `.`
/// either (paths of files, as libraries read them); resolved.
pub fn half_resolved(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let is_odd = path.contains("//") || path.contains("/.");
    let without = move |skipped: &'static [&'static str]| is_odd.then(|| Cow::Owned(left_out(path, skipped)));
    let others =
        without(&[""]).into_iter().chain(without(&["", "."])).chain(is_odd.then(|| Cow::Owned(resolved(path))));
    std::iter::once(Cow::Borrowed(path)).chain(others)
}

/// The path without such segments.
fn left_out(path: &str, skipped: &[&str]) -> String {
    let mut left = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !skipped.contains(segment)) {
        left.push('/');
        left.push_str(segment);
    }
    if left.is_empty() || path.ends_with('/') {
        left.push('/');
    }
    left
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
            ("/a;b/\\c%00", "/a;b/\\c%00"),
        ] {
            assert_eq!(normalised(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_is_resolved_by_halves() {
        let all = |path| half_resolved(path).map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(all("//a/./../b/"), ["//a/./../b/", "/a/./../b/", "/a/../b/", "/b/"]);
        assert_eq!(all("//"), ["//", "/", "/", "/"]);
        assert_eq!(all("/a/b"), ["/a/b"]);
    }

    #[test]
    fn a_plain_path_is_its_own_normal_form() {
        for path in ["/", "/a", "/a/b.html", "/a/", "/~x/y-z_1", "*"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/%41", "//", "/a//", "/./a", "/a/..", "/a;b", "/a\\b", "/.well-known"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
