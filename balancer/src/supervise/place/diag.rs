//! Asks the kernel for the listener at one port, which costs some ten microseconds however many connections there are.
//!
//! Decides nothing. Called by `whose`, again and again for workers that are ready. Never waits: the kernel answers within the call
//! (sock_diag(7)).

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

/// The inode of the listener that connections to `place` end at, if there is one.
///
/// # Errors
/// The kernel's, or those of whoever forbids to ask it.
pub(super) fn listener_at(place: SocketAddr) -> io::Result<Option<u32>> {
    let kernel =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    sendto(kernel.as_raw_fd(), &question(place), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; ANSWER_MAX];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    parse(answer.get(..length).unwrap_or_default())
}

/// Whether [`listener_at`] finds listeners here. The first time, one of our own is looked for: a kernel without `tcp_diag` answers as if
/// there were none.
pub(super) fn can_ask() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let asked = || {
            let own = TcpListener::bind("127.0.0.1:0")?;
            let name = std::fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd()))?;
            let inode = listener_at(own.local_addr()?)?;
            Ok(inode.is_some_and(|inode| name.as_os_str() == format!("socket:[{inode}]").as_str()))
        };
        let error = match asked() {
            Ok(true) => return true,
            Ok(false) => "it shows none".to_owned(),
            Err(error) => io::Error::to_string(&error),
        };
        tracing::warn!(
            "the kernel cannot be asked for listeners (netlink, sock_diag: {error}): a process that takes the port of a worker that \
             is ready is not found out"
        );
        false
    })
}

/// A `nlmsghdr` and an `inet_diag_req_v2` (linux/netlink.h, linux/inet_diag.h) for the one socket that a connection to `place` would find.
fn question(place: SocketAddr) -> Vec<u8> {
    let (family, mut address) = match place.ip() {
        IpAddr::V4(ip) => (AddressFamily::Inet, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AddressFamily::Inet6, ip.octets().to_vec()),
    };
    address.resize(ADDRESS_LENGTH, 0);
    let mut body = vec![family as u8, IPPROTO_TCP, 0, 0];
    body.extend((1_u32 << STATE_LISTEN).to_ne_bytes());
    body.extend(place.port().to_be_bytes());
    body.extend([0; 2]);
    body.extend(address);
    // Any peer, any interface; and any cookie.
    body.extend([0; ADDRESS_LENGTH + 4]);
    body.extend([u8::MAX; 8]);
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// The inode in an `inet_diag_msg`; that there is none is an error of the kernel.
fn parse(answer: &[u8]) -> io::Result<Option<u32>> {
    let short = || io::Error::from(io::ErrorKind::InvalidData);
    let word = |at: usize| answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes).ok_or_else(short)?;
    match kind {
        SOCK_DIAG_BY_FAMILY if answer.get(HEADER + 1) == Some(&STATE_LISTEN) => {
            Ok(Some(word(INODE).ok_or_else(short)?))
        }
        SOCK_DIAG_BY_FAMILY => Ok(None),
        NLMSG_ERROR => match word(HEADER).ok_or_else(short)?.cast_signed().wrapping_neg() {
            error if error == Errno::ENOENT as i32 => Ok(None),
            error => Err(io::Error::from_raw_os_error(error)),
        },
        _ => Err(short()),
    }
}

const IPPROTO_TCP: u8 = 6;
/// TCP_LISTEN.
const STATE_LISTEN: u8 = 10;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
/// Of a `nlmsghdr`.
const HEADER: usize = 16;
/// Where an `inet_diag_msg` has its `idiag_inode`.
const INODE: usize = HEADER + 68;
const ADDRESS_LENGTH: usize = 16;
/// More than a message with all its attributes, of which we ask for none.
const ANSWER_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_that_connections_end_at_is_found() {
        assert!(can_ask());
        for (bind, ask) in [
            ("127.0.0.1:0", [127, 0, 0, 1].into()),
            ("0.0.0.0:0", [127, 0, 0, 1].into()),
            ("[::]:0", [127, 0, 0, 1].into()),
            ("[::1]:0", IpAddr::from(std::net::Ipv6Addr::LOCALHOST)),
        ] {
            let own = TcpListener::bind(bind).unwrap();
            let place = SocketAddr::new(ask, own.local_addr().unwrap().port());
            let _connection = std::net::TcpStream::connect(place).unwrap();
            let name = std::fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd())).unwrap();
            let inode = listener_at(place).unwrap().unwrap();
            assert_eq!(name.to_str().unwrap(), format!("socket:[{inode}]"));
            drop(own);
            assert_eq!(listener_at(place).unwrap(), None);
        }
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(parse(&[]).is_err());
        assert!(parse(&[0; 200]).is_err());
        let mut cut = [0; HEADER + 4];
        cut[4] = 20;
        cut[HEADER + 1] = STATE_LISTEN;
        assert!(parse(&cut).is_err());
        let mut refused = [0; HEADER + 4];
        refused[4] = 2;
        refused[HEADER..].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(parse(&refused).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
