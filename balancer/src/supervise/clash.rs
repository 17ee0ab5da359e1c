//! Who holds a port: a look into `/proc`, for messages only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The process that listens where a bind to `address` fails, as `(pid, name)`.
///
/// `None` when nobody does, or when it belongs to somebody whose descriptors we may not read. Reads the whole of
/// `/proc/*/fd`: milliseconds, so only after a clash.
pub fn who_listens(address: SocketAddr) -> Option<(u32, String)> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening(line, address)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        holds(&process.path(), &inodes).then(|| (pid, name(&process.path())))
    })
}

/// The inode of a listening socket that stands in the way of `address`, from a line of `/proc/net/tcp` or `tcp6`
/// (proc_net_tcp.txt of the kernel's documentation).
fn listening(line: &str, address: SocketAddr) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let (ip, port) = local.split_once(':')?;
    let in_the_way = state == LISTEN && u16::from_str_radix(port, 16).ok()? == address.port() && {
        let (theirs, ours) = (decode(ip)?.to_canonical(), address.ip().to_canonical());
        theirs == ours || theirs.is_unspecified() || ours.is_unspecified()
    };
    in_the_way.then(|| inode.parse().ok())?
}

/// An address as these tables have it: words of 32 bits in hexadecimal, each in the byte order of the machine.
fn decode(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into())
        }
        _ => None,
    }
}

fn holds(process: &Path, inodes: &[String]) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
}

fn name(process: &Path) -> String {
    match std::fs::read_to_string(process.join("comm")) {
        Ok(name) => name.trim_end().to_owned(),
        Err(_) => "?".to_owned(),
    }
}

/// TCP_LISTEN in these tables.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_listener_of_an_address_is_found() {
        for (bind, ask) in
            [("127.0.0.1:0", "127.0.0.1"), ("127.0.0.1:0", "0.0.0.0"), ("0.0.0.0:0", "127.0.0.1"), ("[::1]:0", "::1")]
        {
            let listener = TcpListener::bind(bind).unwrap();
            let address = SocketAddr::new(ask.parse().unwrap(), listener.local_addr().unwrap().port());
            let (pid, name) = who_listens(address).unwrap();
            assert_eq!(pid, std::process::id());
            assert!(!name.is_empty());
            drop(listener);
            assert_eq!(who_listens(address), None);
        }
    }

    #[test]
    fn lines_of_the_kernels_table_are_understood() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        if cfg!(target_endian = "little") {
            assert_eq!(listening(line, port(8080)), Some(4711));
            assert_eq!(listening(&line.replace(" 0A ", " 01 "), port(8080)), None, "connected, not listening");
        }
        assert_eq!(listening(line, port(8081)), None);
        for rubbish in ["", "0:", "0: zz:zz 0 0A", "0: 01:1F90 0 0A 0 0 0 0 0 x", "sl local_address rem st tx tr"] {
            assert_eq!(listening(rubbish, port(8080)), None, "{rubbish}");
        }
    }
}
