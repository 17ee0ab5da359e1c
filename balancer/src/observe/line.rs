//! What a line of the access log is put together from.
//!
//! Straight into its buffer: through the library's formatting a line cost 4,500 instructions, a sixth of a request.

use std::net::IpAddr;
use std::time::Duration;

use super::printable;
use crate::http1::Version;

/// The end of a buffer, onto which everything is put.
pub(super) struct LogLine<'a>(pub(super) &'a mut Vec<u8>);

/// How a byte that cannot stand as it is is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Quote {
    /// `\xHH`, as nginx does.
    Hex,
    /// `\uHHHH`; bytes that are no UTF-8 become U+FFFD.
    Json,
}

impl LogLine<'_> {
    /// What needs no escaping. Inlined, so that a text that the compiler knows is no call.
    #[inline]
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Bytes that need no escaping.
    pub(super) fn ascii(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        match u8::try_from(number) {
            // Attempts, and the seconds of most times.
            Ok(digit @ 0..10) => {
                self.0.push(b'0' + digit);
                self
            }
            _ => self.text(itoa::Buffer::new().format(number)),
        }
    }

    /// With so many `DIGITS` behind the point, 1 to 9, rounded. Known to the compiler, they make its divisions cheap.
    pub(super) fn seconds<const DIGITS: usize>(&mut self, time: Duration) -> &mut Self {
        let unit = const { 10_u64.pow(9 - DIGITS as u32) };
        let nanos = u64::from(time.subsec_nanos());
        let rounded = nanos / unit + u64::from(nanos % unit * 2 >= unit);
        let (carry, mut rest) = (rounded / (NANOS / unit), rounded % (NANOS / unit));
        self.number(time.as_secs().saturating_add(carry)).text(".");
        let mut text = [b'0'; DIGITS];
        for digit in text.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        self.0.extend_from_slice(&text);
        self
    }

    /// A part of a second, cut to microseconds: `.000123`.
    pub(super) fn micros(&mut self, nanos: u32) -> &mut Self {
        let (mut text, mut rest) = (*b".000000", nanos / 1_000);
        for digit in text[1..].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        self.ascii(&text)
    }

    pub(super) fn address(&mut self, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                self.number(a.into()).text(".").number(b.into()).text(".").number(c.into()).text(".").number(d.into())
            }
            IpAddr::V6(ip) => {
                put(self.0, format_args!("{ip}"));
                self
            }
        }
    }

    pub(super) fn version(&mut self, version: Version) -> &mut Self {
        self.text(match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        })
    }

    /// A field's value; `-` where there is none.
    pub(super) fn field(&mut self, value: Option<&[u8]>, quote: Quote) -> &mut Self {
        match value {
            Some(value) => self.escaped(value, quote),
            None => self.text("-"),
        }
    }

    /// What somebody else has said.
    pub(super) fn escaped(&mut self, bytes: &[u8], quote: Quote) -> &mut Self {
        // Without an early exit, which is faster for nearly all of them.
        if bytes.iter().fold(true, |plain, byte| plain & is_plain(byte)) {
            self.0.extend_from_slice(bytes);
        } else {
            escape(self.0, bytes, quote);
        }
        self
    }
}

fn is_plain(byte: &u8) -> bool {
    PLAIN[usize::from(*byte)]
}

fn escape(out: &mut Vec<u8>, bytes: &[u8], quote: Quote) {
    match quote {
        Quote::Hex => {
            for byte in bytes {
                match byte {
                    byte if is_plain(byte) => out.push(*byte),
                    byte => put(out, format_args!("\\x{byte:02X}")),
                }
            }
        }
        Quote::Json => printable::push_json(out, bytes),
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = std::io::Write::write_fmt(out, text);
}

const NANOS: u64 = 1_000_000_000;
/// Bytes that stand for themselves within quotes.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\\');
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8], quote: Quote) -> String {
        let mut out = Vec::new();
        LogLine(&mut out).escaped(bytes, quote);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_a_client_sends_ends_a_line_or_a_quote() {
        assert_eq!(escaped(b"plain text/1.0", Quote::Hex), "plain text/1.0");
        assert_eq!(escaped(b"a\"b\\c\n\x1b[31m\xff", Quote::Hex), "a\\x22b\\x5Cc\\x0A\\x1B[31m\\xFF");
        assert_eq!(escaped("a\"b\\\n\u{7f}é".as_bytes(), Quote::Json), "a\\\"b\\\\\\u000a\\u007fé");
        assert_eq!(escaped("\u{85}\u{9b}\u{2028}\u{202e}".as_bytes(), Quote::Json), "\\u0085\\u009b\\u2028\\u202e");
        assert_eq!(escaped("\u{9b}\u{202e}".as_bytes(), Quote::Hex), "\\xC2\\x9B\\xE2\\x80\\xAE");
        assert_eq!(escaped(b"\xff", Quote::Json), "\u{fffd}");
    }

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        let mut out = Vec::new();
        for nanos in [0, 1, 499_999, 500_000, 999_499_999, 999_500_000, 61_000_000_042, u64::MAX] {
            let time = Duration::from_nanos(nanos);
            out.clear();
            LogLine(&mut out).seconds::<3>(time).text(" ").seconds::<6>(time).text(" ").number(nanos);
            let (millis, micros) = ((nanos / 500_000).div_ceil(2), (nanos / 500).div_ceil(2));
            let (of_millis, of_micros) = (millis % 1_000, micros % 1_000_000);
            let (millis, micros) = (millis / 1_000, micros / 1_000_000);
            let expected = format!("{millis}.{of_millis:03} {micros}.{of_micros:06} {nanos}");
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        }
        for ip in ["192.0.2.1", "0.0.0.0", "255.255.255.255", "::1", "2001:db8::42"] {
            out.clear();
            LogLine(&mut out).address(ip.parse().unwrap());
            assert_eq!(String::from_utf8(out.clone()).unwrap(), ip);
        }
    }
}
