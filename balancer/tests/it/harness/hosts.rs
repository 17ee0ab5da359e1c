//! Hosts of their own: network namespaces, each at the other end of a cable that can be pulled.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use super::origin::Exchange;
use super::{Origin, ok};

/// A host; it is gone when this is dropped, which is to be after whoever connects to it.
pub(crate) struct Host {
    name: String,
    address: Ipv4Addr,
}

impl Host {
    /// For root, with `ip` and `iptables`.
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let has = ["ip", "iptables"].iter().all(|command| Command::new(command).arg("-V").output().is_ok());
        assert!(
            nix::unistd::getuid().is_root() && has,
            "tests with hosts of their own need root, ip(8) and iptables(8)"
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A network of two for each, of those that are set aside for tests (RFC 2544).
        let network = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (std::process::id() * 16 + number) % (1 << 15) * 4;
        let [ours, address] = [1, 2].map(|last| Ipv4Addr::from(network + last));
        let host = Self { name: format!("lb{:x}-{number}", std::process::id()), address };
        let name = &host.name;
        run(&format!("ip netns add {name}"));
        run(&format!("ip link add {name} type veth peer name eth0 netns {name}"));
        run(&format!("ip address add {ours}/30 dev {name}"));
        run(&format!("ip link set {name} up"));
        host.run(&format!("ip address add {address}/30 dev eth0"));
        host.run("ip link set eth0 up");
        host
    }

    /// An origin there, which answers every request with its name.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        let answer = ok(name);
        let script = move |mut exchange: Exchange| while exchange.request().is_some() && exchange.send(&answer) {};
        let address = format!("{}:0", self.address);
        let start = || {
            // A socket stays where it was made.
            let there = File::open(format!("/run/netns/{}", self.name)).unwrap();
            setns(there, CloneFlags::CLONE_NEWNET).unwrap();
            Origin::start_at(&address, script)
        };
        std::thread::scope(|scope| scope.spawn(start).join().unwrap())
    }

    /// From now on nothing arrives, and nobody is told so.
    pub(crate) fn unplug(&self) {
        self.run("ip link set eth0 down");
    }

    pub(crate) fn plug(&self) {
        self.run("ip link set eth0 up");
    }

    /// From now on it loses this share of what arrives.
    pub(crate) fn lose(&self, share: f64) {
        self.run(&format!("iptables -A INPUT -m statistic --mode random --probability {share} -j DROP"));
    }

    fn run(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.name));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for command in [["link", "del"], ["netns", "del"]] {
            let _ = Command::new("ip").args(command).arg(&self.name).status();
        }
    }
}

/// The way to `origin`, longer by `delay` in both directions: its address.
pub(crate) fn far(origin: &Origin, delay: Duration) -> String {
    let (listener, to) = (TcpListener::bind("127.0.0.1:0").unwrap(), origin.address());
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = to.parse::<SocketAddr>().map_err(drop).and_then(|to| TcpStream::connect(to).map_err(drop))
            else {
                continue;
            };
            for stream in [&near, &far] {
                stream.set_nodelay(true).unwrap();
            }
            let other = (near.try_clone().unwrap(), far.try_clone().unwrap());
            carry(near, far, delay);
            carry(other.1, other.0, delay);
        }
    });
    address
}

/// Carries what is read, so much later; more may be on its way meanwhile.
#[expect(clippy::disallowed_methods, reason = "a thread of a test, not of a proxy: the delay is what it is for")]
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    use std::io::{Read, Write};
    let (sender, pieces) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1_024);
    std::thread::spawn(move || {
        let mut piece = [0; 16 * 1024];
        while let Ok(length) = from.read(&mut piece) {
            if sender.send((Instant::now() + delay, piece[..length].to_vec())).is_err() || length == 0 {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        while let Ok((due, piece)) = pieces.recv() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if piece.is_empty() || to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
