//! Whose listener it is that answers in a worker's place.
//!
//! Decides from the kernel's table of listeners, the descriptors of the run's processes and their accounts. Called by `handle` once a
//! worker seems to be ready, and for as long as it is: then only another listener than before is looked at. Never connects.

use std::collections::HashSet;
use std::fs::File;
use std::future::pending;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::Duration;

use nix::unistd::{Pid, Uid, geteuid};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::clash::{decode, who_listens};
use super::diag::{can_ask, listener_at};
use crate::config::{Address, Host};
use crate::supervise::process::kin::Kin;
use crate::supervise::process::tree::accounts;
use crate::supervise::ready::LastAnswer;
use crate::trust;

/// Who takes connections at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// A process of the run.
    Run,
    /// Somebody else, of that account.
    Other(Uid),
    /// Nobody does.
    Nobody,
    /// That cannot be told here.
    Unknown,
}

/// One line of the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listener {
    address: SocketAddr,
    /// The account that has made it.
    uid: Uid,
    inode: u64,
}

impl Listener {
    /// What a descriptor of it leads to.
    fn name(&self) -> String {
        format!("socket:[{}]", self.inode)
    }
}

/// What is known of the processes of a run.
#[derive(Debug, Default)]
struct Held {
    /// Whether one of them has the listener.
    found: bool,
    /// Accounts of those whose descriptors we may not read.
    hidden: HashSet<Uid>,
}

/// Returns `true` when the listener at `address` is one of the run's own at the first look; else `false`, once it is. Of one that is
/// somebody else's it says so, and `last` has it for a message. Where nobody listens, a worker that is ready by a line it prints is
/// believed.
pub(in crate::supervise) async fn until_own(
    title: &str,
    address: &Address,
    kin: &Kin,
    (by_line, last): (bool, &LastAnswer),
) -> bool {
    let Address::Tcp { host: Host::Ip(ip), port } = address else { return true };
    let place = SocketAddr::new(*ip, *port);
    let (mut pause, mut told) = (PAUSE_MIN, false);
    for look in 0_u64.. {
        let (whose, holder) = look_at(place, kin).await;
        match whose {
            Whose::Run | Whose::Unknown => return look == 0,
            // It has said itself that it is ready: as some that are no servers do.
            Whose::Nobody if by_line => return true,
            Whose::Nobody => drop(last.take()),
            Whose::Other(uid) => {
                let text = format!(
                    "{} listens on {place} and is no process of this worker, so it gets no requests (if it should, as with \
                     `docker run -p`, write listener = \"any\")",
                    describe(holder, uid)
                );
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!("{title} is not ready yet: {text}");
                }
                last.set(text);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    false
}

/// Whether the run has a listener at `place`, perhaps beside others (SO_REUSEPORT); also `true` where that cannot be told.
pub(in crate::supervise) async fn has_listener(place: SocketAddr, kin: &Kin) -> bool {
    matches!(look_at(place, kin).await.0, Whose::Run | Whose::Unknown)
}

/// Returns once the listener at `address` is none of the run's, though the worker was ready: with who it is. Where nobody listens, or that
/// cannot be told, it goes on.
pub(in crate::supervise) async fn until_taken(title: &str, address: &Address, kin: &Kin) -> String {
    let Address::Tcp { host: Host::Ip(ip), port } = address else { return pending().await };
    if !can_ask() {
        return pending().await;
    }
    let place = SocketAddr::new(*ip, *port);
    let (mut known, mut suspected) = (None, false);
    loop {
        sleep(if suspected { PAUSE_MIN } else { LOOK_AGAIN }).await;
        // It can fail for want of descriptors.
        let inode = listener_at(place).ok().flatten();
        if inode.is_none() || inode == known {
            suspected = false;
            continue;
        }
        match look_at(place, kin).await {
            // A run may hand its listener on while we look.
            (Whose::Other(uid), holder) if std::mem::replace(&mut suspected, true) => return describe(holder, uid),
            (Whose::Other(_), _) => {}
            (Whose::Run | Whose::Unknown, _) => {
                tracing::debug!("{title} has the listener at {place}");
                (known, suspected) = (inode, false);
            }
            (Whose::Nobody, _) => suspected = false,
        }
    }
}

/// Also who it is, of somebody else.
async fn look_at(place: SocketAddr, kin: &Kin) -> (Whose, Option<(u32, String)>) {
    // It fails only when the semaphore is closed, and nobody closes it.
    let Ok(_turn) = TURNS.acquire().await else { return (Whose::Unknown, None) };
    let kin = kin.clone();
    let look = tokio::task::spawn_blocking(move || {
        let whose = whose(place, &kin);
        (whose, matches!(whose, Whose::Other(_)).then(|| who_listens(place)).flatten())
    });
    look.await.unwrap_or((Whose::Unknown, None))
}

fn describe(holder: Option<(u32, String)>, uid: Uid) -> String {
    holder.map_or_else(|| format!("a process of {}", trust::name(uid)), |(pid, name)| format!("{name} (pid {pid})"))
}

/// Reads the tables, and the descriptors of the run's processes: some hundred microseconds for each of these.
fn whose(place: SocketAddr, kin: &Kin) -> Whose {
    let Some(listeners) = can_tell() else { return Whose::Unknown };
    let there = takers(place, &listeners);
    if there.is_empty() {
        return Whose::Nobody;
    }
    let mut held = held_by(&kin.candidates(), &there);
    if !held.hidden.is_empty() {
        // What it becomes may be another account than what it is now.
        held.hidden.insert(kin.account());
    }
    judge(&there, &held)
}

/// Where descriptors are hidden from us, the account has to do: it is what keeps neighbours out. Root is trusted, and may have bound for
/// a worker that has become another.
fn judge(there: &[Listener], held: &Held) -> Whose {
    let is_trusted = |listener: &Listener| held.hidden.contains(&listener.uid) || listener.uid.is_root();
    match there.first() {
        None => Whose::Nobody,
        Some(_) if held.found || !held.hidden.is_empty() && there.iter().all(is_trusted) => Whose::Run,
        Some(other) => Whose::Other(other.uid),
    }
}

/// Those that connections to `place` end at: the one with the most exact address, for the kernel prefers it.
fn takers(place: SocketAddr, all: &[Listener]) -> Vec<Listener> {
    let rank = |listener: &Listener| match listener.address.ip() {
        _ if listener.address.port() != place.port() => None,
        ip if ip.to_canonical() == place.ip().to_canonical() => Some(0),
        IpAddr::V4(ip) if ip.is_unspecified() && place.is_ipv4() => Some(1),
        // It takes IPv4 too, unless it was told not to, which is not shown.
        IpAddr::V6(ip) if ip.is_unspecified() => Some(2),
        _ => None,
    };
    let best = all.iter().filter_map(rank).min();
    all.iter().filter(|listener| best.is_some() && rank(listener) == best).copied().collect()
}

/// Whether one of these processes has one of the listeners.
fn held_by(processes: &[Pid], listeners: &[Listener]) -> Held {
    let names: Vec<String> = listeners.iter().map(Listener::name).collect();
    let (mut held, mut left) = (Held::default(), DESCRIPTORS_MAX);
    for pid in processes {
        match holds(*pid, &names, &mut left) {
            Ok(found) => held.found |= found,
            // It may have ended; or all of it is hidden from us, and then nothing is known of its account.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_hidden(*pid) => {}
            Err(_) => held.hidden.extend(accounts(*pid).unwrap_or_else(|| vec![geteuid()])),
        }
        if held.found {
            break;
        }
    }
    held
}

fn holds(pid: Pid, names: &[String], left: &mut usize) -> io::Result<bool> {
    for descriptor in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // What is over the bound is as good as hidden.
        *left = left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        match std::fs::read_link(descriptor?.path()) {
            Ok(target) if names.iter().any(|name| target.as_os_str() == name.as_str()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // It was closed meanwhile.
            _ => {}
        }
    }
    Ok(false)
}

/// Whether a process is there that `/proc` does not show us (its option hidepid, proc(5)).
fn is_hidden(pid: Pid) -> bool {
    nix::sys::signal::kill(pid, None) != Err(nix::errno::Errno::ESRCH)
        && !std::fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}

/// Every TCP listener of this network namespace; nothing where they cannot be told from one another: the first time, one of our own is
/// looked for as a worker's would be.
fn can_tell() -> Option<Vec<Listener>> {
    static CAN: OnceLock<bool> = OnceLock::new();
    let own = if CAN.get().is_none() { TcpListener::bind("127.0.0.1:0").ok() } else { None };
    let listeners = listeners().unwrap_or_default();
    let can = CAN.get_or_init(|| {
        let can = own.is_some_and(|own| {
            let name = std::fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd())).unwrap_or_default();
            let there = own.local_addr().map(|place| takers(place, &listeners)).unwrap_or_default();
            there.iter().any(|listener| name.as_os_str() == listener.name().as_str())
        });
        if !can {
            tracing::warn!(
                "the owner of a listener cannot be found, because /proc does not show it here: any process that answers at a \
                 worker's port is taken for the worker"
            );
        }
        can
    });
    can.then_some(listeners)
}

/// Every line of the kernel's tables that is a listener's.
fn listeners() -> io::Result<Vec<Listener>> {
    let (mut all, mut line) = (Vec::new(), String::new());
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let mut file = match File::open(table) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            file => BufReader::with_capacity(BUFFER, file?),
        };
        // Of a hundred thousand connections each has a line.
        while file.read_line(&mut line)? > 0 {
            all.extend(Some(&line).filter(|line| line.contains(LISTENS)).and_then(|line| parse(line)));
            line.clear();
        }
    }
    Ok(all)
}

/// A listener, from a line of such a table (proc_net_tcp.txt of the kernel's documentation).
fn parse(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    let address = SocketAddr::new(decode(ip)?, u16::from_str_radix(port, 16).ok()?);
    (*fields.get(3)? == LISTEN).then_some(Listener { address, uid: Uid::from_raw(uid), inode })
}

/// Of one look: a run with millions of them must not keep those of others waiting.
const DESCRIPTORS_MAX: usize = 100_000;
/// Looks at a time, however many workers start.
static TURNS: Semaphore = Semaphore::const_new(2);
/// TCP_LISTEN in the tables.
const LISTEN: &str = "0A";
const LISTENS: &str = " 0A ";
const BUFFER: usize = 64 << 10;
/// Between two looks: a worker that is about to listen does so soon, and another one's port is not free soon.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between two looks at the listener of a worker that is ready.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str, uid: u32) -> Listener {
        Listener { address: address.parse().unwrap(), uid: Uid::from_raw(uid), inode: 7 }
    }

    #[test]
    fn a_listener_is_the_runs_if_one_of_its_processes_has_it() {
        assert!(can_tell().is_some());
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let own = TcpListener::bind(address).unwrap();
            let place = SocketAddr::new([127, 0, 0, 1].into(), own.local_addr().unwrap().port());
            let there = takers(place, &listeners().unwrap());
            assert_eq!(there.len(), 1, "{there:?}");
            assert_eq!(there[0].uid, geteuid());
            let held = held_by(&[Pid::this()], &there);
            assert_eq!(judge(&there, &held), Whose::Run);
            assert!(holds(Pid::this(), &[there[0].name()], &mut 0).is_err(), "over the bound");
            // Our parent has not.
            let held = held_by(&[Pid::parent()], &there);
            assert!(!held.found);
            drop(own);
            assert_eq!(takers(place, &listeners().unwrap()), []);
        }
    }

    #[test]
    fn the_most_exact_address_gets_the_connections() {
        let [exact, every, six] =
            [("127.0.0.1:80", 1), ("0.0.0.0:80", 2), ("[::]:80", 3)].map(|(at, uid)| listener(at, uid));
        let other = [listener("127.0.0.1:81", 4), listener("127.0.0.2:80", 4), listener("[::1]:80", 4)];
        let place = "127.0.0.1:80".parse().unwrap();
        let all: Vec<_> = other.into_iter().chain([six, every, exact]).collect();
        for (count, best) in [(6, exact), (5, every), (4, six)] {
            assert_eq!(takers(place, &all[..count]), [best]);
        }
        assert_eq!(takers(place, &other), []);
    }

    #[test]
    fn where_descriptors_are_hidden_the_account_decides() {
        let held =
            |found, hidden: &[u32]| Held { found, hidden: hidden.iter().map(|uid| Uid::from_raw(*uid)).collect() };
        let there = [listener("127.0.0.1:80", 33)];
        assert_eq!(judge(&there, &held(true, &[])), Whose::Run);
        assert_eq!(judge(&there, &held(false, &[])), Whose::Other(Uid::from_raw(33)));
        assert_eq!(judge(&there, &held(false, &[33])), Whose::Run);
        assert_eq!(judge(&there, &held(false, &[1000])), Whose::Other(Uid::from_raw(33)));
        assert_eq!(judge(&[listener("127.0.0.1:80", 0)], &held(false, &[33])), Whose::Run);
        assert_eq!(judge(&[listener("127.0.0.1:80", 0)], &held(false, &[])), Whose::Other(Uid::from_raw(0)));
        assert_eq!(judge(&[], &held(false, &[])), Whose::Nobody);
    }

    #[test]
    fn lines_of_the_kernels_table_are_understood() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 4711 1";
        if cfg!(target_endian = "little") {
            assert_eq!(parse(line), Some(Listener { inode: 4711, ..listener("127.0.0.1:8080", 33) }));
            assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None, "connected, not listening");
        }
        for rubbish in
            ["", "0:", "0: zz:zz 0 0A 0 0 0 0 0 1", "0: 01:1F90 0 0A 0 0 0 0 0 x", "sl local_address rem st tx tr"]
        {
            assert_eq!(parse(rubbish), None, "{rubbish}");
        }
    }
}
