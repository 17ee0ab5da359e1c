//! Version 2: bytes (§2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::announced::{Announced, BadHeader};

/// Reads a header. What stands behind the addresses (TLVs) is skipped.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Announced, usize)>, BadHeader> {
    let begin = SIGNATURE.len().min(bytes.len());
    if bytes[..begin] != SIGNATURE[..begin] {
        return Err(BadHeader);
    }
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > LENGTH_MAX {
        return Err(BadHeader);
    }
    let (command, family) = (fixed[12], fixed[13]);
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadHeader),
    };
    let Some(rest) = bytes.get(FIXED..FIXED + length) else { return Ok(None) };
    // Of a connection of the proxy's own, whatever follows is to be ignored.
    let client = if is_local { None } else { client(family, rest).ok_or(BadHeader)? };
    Ok(Some((Announced { client }, FIXED + length)))
}

/// The client at the beginning of `rest`; `None` where it is wrong.
fn client(family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    let port = |at: usize| rest.get(at..at + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    match family {
        TCP4 => {
            let (ip, port) = (rest.first_chunk::<4>()?, port(8)?);
            rest.get(..12)?;
            Some(Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), port)))
        }
        TCP6 => {
            let (ip, port) = (rest.first_chunk::<16>()?, port(32)?);
            rest.get(..36)?;
            Some(Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), port)))
        }
        // Not said, or a Unix socket: nothing that has an address.
        UNSPECIFIED => Some(None),
        UNIX => rest.get(..216).map(|_| None),
        _ => None,
    }
}

/// Writes a header; both ends are of one family.
pub(super) fn write(out: &mut Vec<u8>, ends: Option<(SocketAddr, SocketAddr)>) {
    out.extend_from_slice(SIGNATURE);
    let Some((client, here)) = ends else { return out.extend_from_slice(&[0x21, UNSPECIFIED, 0, 0]) };
    out.extend_from_slice(if client.is_ipv4() { &[0x21, TCP4, 0, 12] } else { &[0x21, TCP6, 0, 36] });
    for ip in [client.ip(), here.ip()] {
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    for port in [client.port(), here.port()] {
        out.extend_from_slice(&port.to_be_bytes());
    }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
pub(super) const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
/// Signature, command, family, length.
const FIXED: usize = 16;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX: u8 = 0x31;
/// Of addresses and TLVs: a certificate's names among them take some hundred bytes.
const LENGTH_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn what_follows_the_addresses_is_skipped() {
        let four = header(0x21, TCP4, &[192, 0, 2, 1, 192, 0, 2, 2, 4, 210, 0, 80, 4, 0, 1, 0]);
        let client = Some("192.0.2.1:1234".parse().unwrap());
        assert_eq!(read(&four), Ok(Some((Announced { client }, four.len()))));
        for (family, rest) in [(UNSPECIFIED, &b"anything"[..]), (UNIX, &[0; 216])] {
            let unknown = header(0x21, family, rest);
            assert_eq!(read(&unknown), Ok(Some((Announced { client: None }, unknown.len()))));
        }
        let own = header(0x20, 0xFF, b"anything");
        assert_eq!(read(&own), Ok(Some((Announced { client: None }, own.len()))));
    }

    #[test]
    fn a_header_that_is_too_short_too_long_or_of_another_kind_is_refused() {
        for (command, family, rest) in [
            (0x21, TCP4, &[0; 11][..]),
            (0x21, TCP6, &[0; 35]),
            (0x21, UNIX, &[0; 215]),
            (0x21, 0x12, &[0; 12]),
            (0x21, 0x41, &[0; 12]),
            (0x22, TCP4, &[0; 12]),
            (0x11, TCP4, &[0; 12]),
            (0x21, TCP4, &[0; LENGTH_MAX + 1]),
        ] {
            assert_eq!(read(&header(command, family, rest)), Err(BadHeader), "{command:x} {family:x} {}", rest.len());
        }
        // Before it is there.
        assert_eq!(read(&header(0x21, TCP4, &[0; LENGTH_MAX + 1])[..FIXED]), Err(BadHeader));
    }
}
