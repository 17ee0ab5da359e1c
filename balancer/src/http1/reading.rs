//! How common servers read a path where they do not all read the same. Decides what a path may be to the worker behind us; `route`
//! compares where its readings lead; never judges one itself.
//!
//! Each difference is one that servers in use have: WSGI servers and PHP decode `%2f`; IIS, and whoever reads with WHATWG's URL as programs
//! in Node do, take `\` for `/`; Tomcat, Jetty and what stands on them drop parameters (`/a;v=1`); what is written in C ends at a NUL, and
//! what decodes before it splits ends at a `?` or `#`; Windows drops white space at the end of a name, and a regular expression's `$`
//! stands before a last newline.

/// Which differences count; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading(u8);

impl Reading {
    /// Every reading in which a path may differ from the default one.
    pub fn others(path: &str) -> impl Iterator<Item = Self> {
        let there = Self::differences(path);
        (1..=ALL).filter(move |kinds| kinds & there == *kinds).map(Self)
    }

    /// Which differences a path has a byte for.
    fn differences(path: &str) -> u8 {
        let mut rest = path.as_bytes();
        let mut there = 0;
        while let Some((read, tail)) = next(rest) {
            rest = tail;
            there |= match read {
                Byte::Encoded(b'/') => SLASH,
                Byte::Encoded(b'\\') | Byte::Plain(b'\\') => BACKSLASH,
                Byte::Encoded(b';') | Byte::Plain(b';') => PARAMETERS,
                Byte::Encoded(0 | b'?' | b'#') => CUT,
                Byte::Encoded(byte) if is_blank(byte) => TRAILING,
                Byte::Encoded(_) | Byte::Plain(_) => 0,
            };
        }
        there
    }

    /// The path as it is read, its dot segments still there. What stays encoded is an encoded slash or NUL.
    pub fn of(self, path: &str) -> String {
        let has = |difference: u8| self.0 & difference != 0;
        let mut out: Vec<u8> = Vec::with_capacity(path.len());
        let (mut rest, mut parameters) = (path.as_bytes(), false);
        while let Some((read, tail)) = next(rest) {
            let escape = &rest[..rest.len() - tail.len()];
            rest = tail;
            match read {
                Byte::Encoded(0 | b'?' | b'#') if has(CUT) => break,
                Byte::Plain(b'/') => self.separate(&mut out, &mut parameters),
                Byte::Encoded(b'/') if has(SLASH) => self.separate(&mut out, &mut parameters),
                Byte::Encoded(b'\\') | Byte::Plain(b'\\') if has(BACKSLASH) => {
                    self.separate(&mut out, &mut parameters);
                }
                Byte::Encoded(b';') | Byte::Plain(b';') if has(PARAMETERS) => parameters = true,
                _ if parameters => {}
                Byte::Encoded(b'/' | 0) => out.extend_from_slice(escape),
                Byte::Encoded(byte) | Byte::Plain(byte) => out.push(byte),
            }
        }
        if has(TRAILING) {
            trim(&mut out);
        }
        match String::from_utf8(out) {
            Ok(path) => path,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// A segment ends, and with it its parameters.
    fn separate(self, out: &mut Vec<u8>, parameters: &mut bool) {
        *parameters = false;
        if self.0 & TRAILING != 0 {
            trim(out);
        }
        out.push(b'/');
    }
}

/// What is left of a path whose begin, `//name`, is taken for the authority of a URL (RFC 3986 §4.2), if anything is.
pub fn behind_authority(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("//")?;
    rest.find('/').map(|at| &rest[at..])
}

/// One byte of a path, and whether it was written as `%XX`.
enum Byte {
    Plain(u8),
    Encoded(u8),
}

fn next(bytes: &[u8]) -> Option<(Byte, &[u8])> {
    let (byte, tail) = bytes.split_first()?;
    let encoded = match (byte, tail) {
        (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
        _ => None,
    };
    Some(match encoded {
        Some(value) => (Byte::Encoded(value), &tail[2..]),
        None => (Byte::Plain(*byte), tail),
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim(out: &mut Vec<u8>) {
    while out.last().is_some_and(|byte| is_blank(*byte)) {
        out.pop();
    }
}

/// `%2f` is `/`.
const SLASH: u8 = 1;
/// `\` and `%5c` are `/`.
const BACKSLASH: u8 = 2;
/// `;` and what follows it is no part of its segment.
const PARAMETERS: u8 = 4;
/// The path ends at `%00`, `%3f` and `%23`.
const CUT: u8 = 8;
/// White space at the end of a segment is no part of it.
const TRAILING: u8 = 16;
/// All of them at once.
const ALL: u8 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_read_as_servers_do() {
        for (kinds, path, expected) in [
            (0, "/a%2Fb%5c\\;%3b%00%20%3F%41%zz%", "/a%2Fb\\\\;;%00 ?A%zz%"),
            (SLASH, "/x/..%2fadmin", "/x/../admin"),
            (BACKSLASH, "/x\\..%5Cadmin", "/x/../admin"),
            (PARAMETERS, "/;/admin;v=1%3bw/x;", "//admin/x"),
            (PARAMETERS | SLASH, "/a;v%2fb", "/a/b"),
            (CUT, "/admin%00.html", "/admin"),
            (CUT, "/admin%3Fx", "/admin"),
            (TRAILING, "/x/..%20%09/admin%0a", "/x/../admin"),
            (TRAILING, "/%20admin", "/ admin"),
            (TRAILING | PARAMETERS, "/admin%20;x", "/admin"),
        ] {
            assert_eq!(Reading(kinds).of(path), expected, "{kinds} {path}");
        }
    }

    #[test]
    fn only_readings_that_make_a_difference_are_tried() {
        let count = |path: &str| Reading::others(path).count();
        assert_eq!(["/a/../b", "/%41", "/a%2fb", "/a;b%2fc", "/%2f%5c;%00%20"].map(count), [0, 0, 1, 3, 31]);
    }

    #[test]
    fn what_looks_like_an_authority_is_left_out() {
        assert_eq!(behind_authority("//x/admin"), Some("/admin"));
        assert_eq!(behind_authority("//admin"), None);
        assert_eq!(behind_authority("/x//admin"), None);
    }
}
