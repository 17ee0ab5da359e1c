//! How much of what was written a TCP peer has acknowledged.

use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;

/// Bytes that the peer has acknowledged since the connection began; `None` where the kernel does not tell. One system call.
///
/// What was written may lie in our own kernel for minutes: its buffer for a socket grows to some MiB.
pub(super) fn acknowledged(socket: &impl AsFd) -> Option<u64> {
    let told = getsockopt(socket, TcpInfo).ok()?;
    told.get(BYTES_ACKED..BYTES_ACKED + 8)?.try_into().map(u64::from_ne_bytes).ok()
}

/// The beginning of `struct tcp_info` (include/uapi/linux/tcp.h), as Linux has it since 4.1; the C library's does not go so far.
#[derive(Debug, Clone, Copy)]
struct TcpInfo;

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; INFO], GetStruct<[u8; INFO]>);

/// Up to `tcpi_bytes_acked`, which is the last.
const INFO: usize = BYTES_ACKED + 8;
/// Behind 8 bytes, 24 numbers of 4 bytes and two of 8.
const BYTES_ACKED: usize = 120;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_the_peer_has_not_taken_is_not_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut reader = listener.accept().unwrap().0;
        let before = acknowledged(&writer).unwrap();
        writer.write_all(b"hello").unwrap();
        reader.read_exact(&mut [0; 5]).unwrap();
        while acknowledged(&writer).unwrap() != before + 5 {
            std::thread::yield_now();
        }
        writer.set_nonblocking(true).unwrap();
        let mut written = 5;
        while let Ok(more) = writer.write(&[0; 65_536]) {
            written += more as u64;
        }
        assert!(acknowledged(&writer).unwrap() < before + written, "the last of it lies in our kernel");
    }

    #[test]
    fn other_sockets_tell_nothing() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(acknowledged(&one), None);
    }
}
