//! Who listens where: a look into `/proc`, for messages only.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::config::{Address, Host};

/// Everything that listens on this machine, at one moment.
#[derive(Debug)]
pub(super) struct Listeners(Vec<(String, Address)>);

/// The process that listens where a bind to `address` fails, as `(pid, name)`.
///
/// `None` when nobody does, or when it belongs to somebody whose descriptors we may not read. Reads the whole of
/// `/proc/*/fd`: milliseconds, so only after a clash.
pub fn who_listens(address: SocketAddr) -> Option<(u32, String)> {
    let inodes: Vec<String> = TCP
        .iter()
        .flat_map(|table| of_table(table, |line| listening(line, address)))
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

/// All that listen on ports, with the processes whose descriptors we may read: one look at `/proc` for as many questions as there are.
#[derive(Debug)]
pub struct Holders(Vec<(SocketAddr, Option<(u32, String)>)>);

impl Holders {
    /// Those of this moment.
    pub fn now() -> Self {
        let listeners: Vec<_> = TCP.iter().flat_map(|table| of_table(table, listener)).collect();
        let mut holders = std::collections::HashMap::new();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse::<u32>().ok()) else { continue };
            let descriptors = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            for target in descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok()) {
                let inode: Option<u64> =
                    target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
                if let Some(inode) = inode.filter(|inode| listeners.iter().any(|(_, known)| known == inode)) {
                    holders.entry(inode).or_insert_with(|| (pid, name(&process.path())));
                }
            }
        }
        Self(listeners.into_iter().map(|(address, inode)| (address, holders.get(&inode).cloned())).collect())
    }

    /// Where somebody listens.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|(address, _)| *address)
    }

    /// The process that keeps `address` from being listened on, as `(pid, name)`.
    pub fn at(&self, address: SocketAddr) -> Option<(u32, String)> {
        self.0.iter().filter(|(other, _)| is_in_the_way(*other, address)).find_map(|(_, holder)| holder.clone())
    }
}

impl Listeners {
    /// Reads the kernel's tables.
    pub(in crate::supervise) fn look() -> Self {
        let tcp = TCP.iter().flat_map(|table| of_table(table, listener));
        let tcp =
            tcp.map(|(address, inode)| (inode, Address::Tcp { host: Host::Ip(address.ip()), port: address.port() }));
        let all = tcp.chain(of_table("/proc/net/unix", unix_listener));
        Self(all.map(|(inode, address)| (format!("socket:[{inode}]"), address)).collect())
    }

    /// Their addresses.
    pub(in crate::supervise) fn all(&self) -> impl Iterator<Item = &Address> {
        self.0.iter().map(|(_, address)| address)
    }

    /// Those of a process group, as far as we may look into its processes.
    pub(in crate::supervise) fn of_group(&self, group: Pid) -> impl Iterator<Item = &Address> {
        let processes: Vec<PathBuf> = std::fs::read_dir("/proc")
            .map(|all| all.flatten().map(|it| it.path()).filter(|it| group_of(it) == Some(group.as_raw())).collect())
            .unwrap_or_default();
        let is_held = move |inode: &String| processes.iter().any(|process| holds(process, std::slice::from_ref(inode)));
        self.0.iter().filter(move |(inode, _)| is_held(inode)).map(|(_, address)| address)
    }
}

/// What is found in the lines of one of the kernel's tables, which is read line by line: it has one for each connection of the machine.
fn of_table<T>(table: &str, find: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let Ok(file) = File::open(table) else { return Vec::new() };
    let (mut reader, mut line, mut found) = (BufReader::new(file), Vec::new(), Vec::new());
    // The name of a Unix socket may be any bytes.
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        found.extend(std::str::from_utf8(&line).ok().and_then(&find));
        line.clear();
    }
    found
}

/// Whether connections to `wanted` end at a listener on `address`.
pub(super) fn same_place(address: &Address, wanted: &Address) -> bool {
    match (address, wanted) {
        (Address::Tcp { host: Host::Ip(ip), port }, Address::Tcp { host: Host::Ip(wanted_ip), port: wanted_port }) => {
            port == wanted_port && (ip.to_canonical() == *wanted_ip || ip.is_unspecified())
        }
        _ => address == wanted,
    }
}

/// The process group in `/proc/PID/stat`: the third field behind the name, which may hold anything (proc_pid_stat(5)).
fn group_of(process: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(2)?.parse().ok()
}

/// The inode of a listening socket that stands in the way of `address`, from a line of `/proc/net/tcp` or `tcp6`
/// (proc_net_tcp.txt of the kernel's documentation).
fn listening(line: &str, address: SocketAddr) -> Option<u64> {
    let (other, inode) = listener(line)?;
    is_in_the_way(other, address).then_some(inode)
}

fn is_in_the_way(other: SocketAddr, address: SocketAddr) -> bool {
    let (theirs, ours) = (other.ip().to_canonical(), address.ip().to_canonical());
    other.port() == address.port() && (theirs == ours || theirs.is_unspecified() || ours.is_unspecified())
}

/// Address and inode of a listening socket, from such a line.
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let is_listening = fields.nth(1)? == LISTEN;
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':').filter(|_| is_listening)?;
    Some((SocketAddr::new(decode(ip)?, u16::from_str_radix(port, 16).ok()?), inode))
}

/// The same from a line of `/proc/net/unix` (proc_net(5)); abstract names are left out.
fn unix_listener(line: &str) -> Option<(u64, Address)> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let is_listening = fields.next()? == UNIX_LISTEN;
    let inode = fields.nth(2)?.parse().ok()?;
    let path = fields.next().filter(|path| is_listening && path.starts_with('/'))?;
    Some((inode, Address::Unix(path.into())))
}

/// An address as these tables have it: words of 32 bits in hexadecimal, each in the byte order of the machine.
pub(super) fn decode(hex: &str) -> Option<IpAddr> {
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

/// The kernel's tables of TCP (proc_net_tcp.txt of its documentation).
const TCP: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// TCP_LISTEN in these tables.
const LISTEN: &str = "0A";
/// __SO_ACCEPTCON among the flags of a Unix socket.
const UNIX_LISTEN: &str = "00010000";

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
            assert_eq!(Holders::now().at(address), Some((pid, name)));
            drop(listener);
            assert_eq!(who_listens(address), None);
        }
    }

    #[test]
    fn the_listeners_of_a_process_group_are_found() {
        let path = std::env::temp_dir().join(format!("clash-{}.sock", std::process::id()));
        let (tcp, unix) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listeners = Listeners::look();
        let own: Vec<_> = listeners.of_group(nix::unistd::getpgrp()).map(ToString::to_string).collect();
        for expected in [tcp.local_addr().unwrap().to_string(), format!("unix:{}", path.display())] {
            assert!(own.contains(&expected), "no {expected} in {own:?}");
        }
        assert_eq!(listeners.of_group(Pid::from_raw(1 << 30)).count(), 0);
        drop(unix);
        std::fs::remove_file(path).unwrap();
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
