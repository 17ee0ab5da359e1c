//! The PROXY protocol, versions 1 and 2: who the client of a connection is, told by the proxy in front of it.
//!
//! Decides what a header says, and writes one. Called by `listen` for connections of proxies in front of us, and by `net` and `forward`
//! for connections to endpoints that want a header. Never touches a socket, and never decides who is believed.
//!
//! The protocol is HAProxy's: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

mod announced;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

pub use announced::{Announced, BadHeader};

/// Reads the header that `bytes` begin with, all that has come, and says where it ends; `None` as long as there is more of it to come.
///
/// # Errors
/// [`BadHeader`], as soon as no further byte can mend it.
pub fn read(bytes: &[u8]) -> Result<Option<(Announced, usize)>, BadHeader> {
    // The first bytes tell the versions apart: no other protocol begins with either (§2.2).
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => v1::read(bytes),
        Some(_) => v2::read(bytes),
    }
}

/// The two ends of a connection that is passed on: its client, and where that has connected to; `None` where this is not known.
pub type Ends = Option<(SocketAddr, SocketAddr)>;

/// Writes a header of version 1.
pub fn write_v1(out: &mut Vec<u8>, ends: Ends) {
    v1::write(out, ends.map(of_one_family));
}

/// Writes a header of version 2.
pub fn write_v2(out: &mut Vec<u8>, ends: Ends) {
    v2::write(out, ends.map(of_one_family));
}

/// What begins a connection of our own, in version 1, which has no word for it.
pub const LOCAL_V1: &[u8] = v1::UNKNOWN;
/// The same in version 2.
pub const LOCAL_V2: &[u8] = v2::LOCAL;

/// Both in one family, for a header has one only: IPv4 unless one of them is none.
fn of_one_family((client, here): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, here) = (canonical(client), canonical(here));
    let in_six = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    if client.is_ipv4() == here.is_ipv4() { (client, here) } else { (in_six(client), in_six(here)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, here: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((client.parse().unwrap(), here.parse().unwrap()))
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let mixed = "[2001:db8::1]:5";
        for (ends, client) in [
            (ends("192.0.2.1:1234", "198.51.100.2:80"), Some("192.0.2.1:1234")),
            (ends("[2001:db8::1]:65535", "[2001:db8::2]:443"), Some("[2001:db8::1]:65535")),
            (ends("[::ffff:192.0.2.1]:9", "198.51.100.2:80"), Some("192.0.2.1:9")),
            (ends(mixed, "198.51.100.2:80"), Some(mixed)),
            (None, None),
        ] {
            for write in [write_v1, write_v2] {
                let mut header = Vec::new();
                write(&mut header, ends);
                let length = header.len();
                for cut in 0..length {
                    assert_eq!(read(&header[..cut]), Ok(None), "{cut} of {}", header.escape_ascii());
                }
                header.extend_from_slice(b"GET / HTTP/1.1\r\n");
                let told = client.map(|client| client.parse().unwrap());
                assert_eq!(read(&header), Ok(Some((Announced { client: told }, length))), "{}", header.escape_ascii());
            }
        }
    }

    #[test]
    fn a_connection_of_our_own_is_announced_as_such() {
        for header in [LOCAL_V1, LOCAL_V2] {
            assert_eq!(read(header), Ok(Some((Announced { client: None }, header.len()))));
        }
    }

    #[test]
    fn other_protocols_are_refused_at_their_first_bytes() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n", b"POST ", b"\r\nX", b"\0"]
        {
            assert_eq!(read(bytes), Err(BadHeader), "{}", bytes.escape_ascii());
        }
    }
}
