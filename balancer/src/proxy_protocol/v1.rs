//! Version 1: one line of text (§2.1).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::announced::{Announced, BadHeader};

/// Reads a header. Strictly: one space between its words, addresses of the family that is named, ports without zeros in front.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Announced, usize)>, BadHeader> {
    let begin = BEGIN.len().min(bytes.len());
    if bytes[..begin] != BEGIN[..begin] {
        return Err(BadHeader);
    }
    let within = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= LINE_MAX { Err(BadHeader) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&within[BEGIN.len()..end]).map_err(|_| BadHeader)?;
    let client = client(line).ok_or(BadHeader)?;
    Ok(Some((Announced { client }, end + 2)))
}

/// What stands behind `PROXY `; `None` where it is wrong.
fn client(line: &str) -> Option<Option<SocketAddr>> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    if family == "UNKNOWN" {
        // Whatever stands behind it is to be ignored.
        return Some(None);
    }
    let mut words = rest.split(' ');
    let [from, to, from_port, to_port] = [words.next()?, words.next()?, words.next()?, words.next()?];
    let (from_port, _) = (port(from_port)?, port(to_port)?);
    let from = match family {
        "TCP4" => {
            to.parse::<Ipv4Addr>().ok()?;
            from.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            to.parse::<Ipv6Addr>().ok()?;
            from.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    words.next().is_none().then(|| Some(SocketAddr::new(from, from_port)))
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Writes a header; both ends are of one family.
pub(super) fn write(out: &mut Vec<u8>, ends: Option<(SocketAddr, SocketAddr)>) {
    let Some((client, here)) = ends else { return out.extend_from_slice(UNKNOWN) };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), here.ip());
    out.extend_from_slice(format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), here.port()).as_bytes());
}

const BEGIN: &[u8] = b"PROXY ";
pub(super) const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
/// With CRLF; the protocol's own bound.
const LINE_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_two_readers_could_read_in_two_ways_is_refused() {
        let long = format!("UNKNOWN {}", "x".repeat(100));
        for line in [
            "",
            "TCP4",
            "TCP4 192.0.2.1 192.0.2.2 1",
            "TCP4 192.0.2.1 192.0.2.2 1 2 3",
            "TCP4  192.0.2.1 192.0.2.2 1 2",
            "TCP4 192.0.2.1 192.0.2.2 1 2 ",
            "TCP4 2001:db8::1 2001:db8::2 1 2",
            "TCP6 192.0.2.1 192.0.2.2 1 2",
            "TCP4 192.0.2.1 192.0.2 1 2",
            "TCP4 192.0.2.01 192.0.2.2 1 2",
            "TCP4 192.0.2.1 192.0.2.2 01 2",
            "TCP4 192.0.2.1 192.0.2.2 +1 2",
            "TCP4 192.0.2.1 192.0.2.2 65536 2",
            "TCP4 192.0.2.1 192.0.2.2 -1 2",
            "tcp4 192.0.2.1 192.0.2.2 1 2",
            "UDP4 192.0.2.1 192.0.2.2 1 2",
            "UNKNOWNX",
            &long,
        ] {
            assert_eq!(read(format!("PROXY {line}\r\n").as_bytes()), Err(BadHeader), "{line}");
        }
        let header = b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nGET";
        assert_eq!(read(header), Ok(Some((Announced { client: None }, header.len() - 3))));
    }
}
