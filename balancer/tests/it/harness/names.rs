//! A DNS server that answers as it is told, and programs that ask it: each in a mount namespace of its own, with other files in
//! the place of resolv.conf and hosts.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Balancer, directory};

/// The server. Names that it was told nothing of do not exist.
pub(crate) struct Names {
    address: Ipv4Addr,
    directory: PathBuf,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    said: Mutex<HashMap<(String, u16), Vec<Say>>>,
    asked: Mutex<Vec<Asked>>,
}

/// What is answered to a question.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// These records: owner, type, what it holds. An empty owner is the name that was asked for.
    Records(Vec<(String, u16, Vec<u8>)>),
    /// Nothing but this code.
    Code(u8),
    /// Nothing.
    Silence,
    /// Bytes that are no message.
    Rubbish,
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) tcp: bool,
    /// Whether it says how large an answer may be (RFC 6891).
    pub(crate) edns: bool,
}

impl Names {
    /// At an address of this machine's own, port 53; For root, with mounts of its own.
    pub(crate) fn start() -> Self {
        let may = nix::unistd::getuid().is_root()
            && Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
        assert!(may, "tests of DNS need root and unshare(1)");
        let free = (1..=250_u8).find_map(|last| {
            let address = Ipv4Addr::new(127, 53, std::process::id().to_le_bytes()[0], last);
            Some((address, UdpSocket::bind((address, 53)).ok()?, TcpListener::bind((address, 53)).ok()?))
        });
        let (address, udp, tcp) = free.unwrap();
        let (told, directory) = (Arc::<Told>::default(), directory());
        let (of_udp, of_tcp) = (Arc::clone(&told), Arc::clone(&told));
        thread::spawn(move || {
            let mut request = [0; 4096];
            while let Ok((length, peer)) = udp.recv_from(&mut request) {
                if let Some(answer) = of_udp.answer(&request[..length], false) {
                    let _ = udp.send_to(&answer, peer);
                }
            }
        });
        thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let told = Arc::clone(&of_tcp);
                thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut request).ok()?;
                        let answer = told.answer(&request, true)?;
                        stream.write_all(&u16::try_from(answer.len()).ok()?.to_be_bytes()).ok()?;
                        stream.write_all(&answer).ok()?;
                    }
                    Some(())
                });
            }
        });
        let names = Self { address, directory, told };
        names.resolv_conf("options timeout:1\n");
        names.hosts("127.0.0.1 localhost\n");
        names
    }

    /// What resolv.conf says besides the server.
    pub(crate) fn resolv_conf(&self, more: &str) {
        self.resolv_conf_of(&self.server(), more);
    }

    pub(crate) fn resolv_conf_of(&self, server: &str, more: &str) {
        std::fs::write(self.directory.join("resolv.conf"), format!("nameserver {server}\n{more}")).unwrap();
    }

    /// The server's address.
    pub(crate) fn server(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn hosts(&self, text: &str) {
        std::fs::write(self.directory.join("hosts"), text).unwrap();
    }

    /// The A records of a name, and that it has no AAAA.
    pub(crate) fn set(&self, name: &str, addresses: &[&str]) {
        self.say(name, A, vec![a(addresses)]);
        self.say(name, AAAA, vec![Say::Records(Vec::new())]);
    }

    /// The same answer to questions for A and AAAA.
    pub(crate) fn both(&self, name: &str, say: &Say) {
        self.say(name, A, vec![say.clone()]);
        self.say(name, AAAA, vec![say.clone()]);
    }

    /// Answers to one kind of question, in turn and again from the first.
    pub(crate) fn say(&self, name: &str, kind: u16, answers: Vec<Say>) {
        self.told.said.lock().unwrap().insert((name.to_owned(), kind), answers);
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.told.asked.lock().unwrap().clone()
    }

    /// How often a name was asked for so far.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.told.asked.lock().unwrap().iter().filter(|asked| asked.name == name).count()
    }

    /// A balancer that asks here.
    pub(crate) fn balancer(&self, top: &str, tables: &str) -> Balancer {
        Balancer::start_by(self.within(), super::directory(), top, tables)
    }

    /// The program, not started yet, so that it asks here.
    pub(crate) fn within(&self) -> Command {
        let mut command = Command::new("unshare");
        let mount =
            "mount --bind \"$0/resolv.conf\" /etc/resolv.conf && mount --bind \"$0/hosts\" /etc/hosts && exec \"$@\"";
        command.args(["--mount", "sh", "-c", mount]).arg(&self.directory).arg(env!("CARGO_BIN_EXE_balancer"));
        command
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Told {
    fn answer(&self, request: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let (name, end) = name_at(request, 12)?;
        let kind = u16::from_be_bytes([*request.get(end)?, *request.get(end + 1)?]);
        let question = request.get(12..end + 4)?;
        let edns = request.get(11).is_some_and(|additional| *additional > 0);
        let room = edns.then(|| room(&request[end + 4..])).flatten().unwrap_or(512);
        let count = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(Asked { name: name.clone(), tcp, edns });
            asked.iter().filter(|asked| asked.name == name).count()
        };
        let said = self.said.lock().unwrap();
        let known = said.keys().any(|(known, _)| *known == name);
        let say = said.get(&(name, kind)).map(|answers| answers[(count - 1) / 2 % answers.len()].clone());
        let (code, records) = match say {
            Some(Say::Records(records)) => (0, records),
            Some(Say::Code(code)) => (code, Vec::new()),
            Some(Say::Silence) => return None,
            Some(Say::Rubbish) => return Some(vec![0xff; 40]),
            None => (if known { 0 } else { 3 }, Vec::new()),
        };
        let mut answers = Vec::new();
        for (owner, kind, data) in &records {
            let owner = if owner.is_empty() { vec![0xc0, 12] } else { wire_name(owner) };
            answers.extend(owner);
            answers.extend(kind.to_be_bytes());
            // Class IN, and a time to live that nobody is to believe.
            answers.extend([0, 1, 0, 0, 0x0e, 0x10]);
            answers.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            answers.extend(data);
        }
        let cut = !tcp && 12 + question.len() + answers.len() > room;
        let count = if cut { 0 } else { u16::try_from(records.len()).ok()? };
        let mut message = request[..2].to_vec();
        message.extend([if cut { 0x87 } else { 0x85 }, 0x80 | code, 0, 1]);
        message.extend(count.to_be_bytes());
        message.extend([0; 4]);
        message.extend(question);
        if !cut {
            message.extend(answers);
        }
        Some(message)
    }
}

/// How large an answer may be, as the OPT record behind the question says.
fn room(additional: &[u8]) -> Option<usize> {
    Some(u16::from_be_bytes([*additional.get(3)?, *additional.get(4)?]).into())
}

/// The name that begins there, in lower case, and where it ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
}

fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A records.
pub(crate) fn a(addresses: &[&str]) -> Say {
    let record = |text: &&str| (String::new(), A, text.parse::<Ipv4Addr>().unwrap().octets().to_vec());
    Say::Records(addresses.iter().map(record).collect())
}

/// AAAA records.
pub(crate) fn aaaa(addresses: &[&str]) -> Say {
    let record = |text: &&str| (String::new(), AAAA, text.parse::<Ipv6Addr>().unwrap().octets().to_vec());
    Say::Records(addresses.iter().map(record).collect())
}

/// SRV records: priority, weight, port, target.
pub(crate) fn srv(services: &[(u16, u16, u16, &str)]) -> Say {
    let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
        let numbers = [priority, weight, port].into_iter().flat_map(|number| number.to_be_bytes());
        (String::new(), SRV, numbers.chain(wire_name(target)).collect())
    };
    Say::Records(services.iter().map(record).collect())
}

/// A chain of names, and the address at its end.
pub(crate) fn chain(names: &[&str], address: &str) -> Say {
    let link = |pair: &[&str]| (pair[0].to_owned(), CNAME, wire_name(pair[1]));
    let end = names.last().unwrap();
    let address = ((*end).to_owned(), A, address.parse::<Ipv4Addr>().unwrap().octets().to_vec());
    Say::Records(names.windows(2).map(link).chain([address]).collect())
}

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const SERVFAIL: Say = Say::Code(2);
pub(crate) const NXDOMAIN: Say = Say::Code(3);
