//! Which port a worker gets.
//!
//! Decides on a port that nobody listens on and no other worker of ours has been given. Called by `spawn` at every start.
//! Never keeps the port bound: between the test and the worker's own bind somebody else may take it, then the worker ends
//! and the next start gets another.

use std::collections::HashSet;
use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, RngExt};

use super::clash::who_listens;

/// The ports given to workers, shared by the supervisors of all pools.
#[derive(Debug, Clone, Default)]
pub struct Ports(Arc<Mutex<HashSet<u16>>>);

/// A worker's port; dropping it lets another worker have it.
#[derive(Debug)]
pub(in crate::supervise) struct Port {
    number: u16,
    ports: Ports,
}

/// Why there is no port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervise) enum PortError {
    /// Another process listens there: its pid and name, where they can be known.
    Taken(SocketAddr, Option<(u32, String)>),
    /// Another worker of ours has it.
    Ours(u16),
    /// `first_port` and the index add up to more than 65535.
    Beyond,
    /// Not one of the range is free.
    NoneFree(RangeInclusive<u16>),
}

impl Ports {
    /// The port for a start of worker `index` (from 1) of `count`: `first_port` and those above it in turn, or, while another
    /// worker of ours has that, `count` above it, or, when `count` was another once and that is given too, the first that is
    /// free of these twice `count`; without `first_port` a free one, drawn anew every time, so that what was meant for the
    /// last run hardly ever reaches the next.
    pub(in crate::supervise) fn choose(
        &self,
        first: Option<u16>,
        (index, count): (usize, usize),
        rng: &mut impl Rng,
    ) -> Result<Port, PortError> {
        match first {
            Some(first) => {
                let above = |steps| u16::try_from(steps).ok().and_then(|steps| first.checked_add(steps));
                let take = |steps| self.take(above(steps).ok_or(PortError::Beyond)?);
                // A worker and its replacement take turns.
                let in_turn = match take(index - 1) {
                    Err(PortError::Ours(_)) => take(index - 1 + count),
                    taken => return taken,
                };
                match in_turn {
                    Err(PortError::Ours(_)) => (0..2 * count).find_map(|steps| take(steps).ok()).map_or(in_turn, Ok),
                    taken => taken,
                }
            }
            None => {
                let range = free_range(ephemeral_range());
                let begin = rng.random_range(range.clone());
                (begin..=*range.end())
                    .chain(*range.start()..begin)
                    .find_map(|number| self.take(number).ok())
                    .ok_or(PortError::NoneFree(range))
            }
        }
    }

    fn take(&self, number: u16) -> Result<Port, PortError> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.contains(&number) {
            return Err(PortError::Ours(number));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
        // Only "in use" speaks against the port: what else may fail here (a port below 1024, say) may well succeed for a
        // worker that runs as another user, and says so itself if not.
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(PortError::Taken(address, None)),
            _ => {
                given.insert(number);
                Ok(Port { number, ports: self.clone() })
            }
        }
    }
}

impl Port {
    /// Its number.
    pub(in crate::supervise) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ports.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl PortError {
    /// The same, with the name of who has the port.
    pub(in crate::supervise) fn with_holder(self) -> Self {
        match self {
            Self::Taken(address, _) => Self::Taken(address, who_listens(address)),
            other => other,
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(address, Some((pid, name))) => {
                write!(f, "port {} is taken by {name} (pid {pid})", address.port())
            }
            Self::Taken(address, None) => {
                write!(f, "port {} is taken by a process that cannot be identified", address.port())
            }
            Self::Ours(number) => write!(f, "port {number} belongs to another worker"),
            Self::Beyond => f.write_str("its port would be above 65535"),
            Self::NoneFree(range) => write!(f, "no port from {} to {} is free", range.start(), range.end()),
        }
    }
}

/// Where free ports are looked for: outside `ephemeral`, from which the kernel gives ports to outgoing connections, ours to
/// workers among them, so that none of those takes a worker's port while it restarts.
fn free_range(ephemeral: RangeInclusive<u16>) -> RangeInclusive<u16> {
    let below = PREFERRED..=ephemeral.start().saturating_sub(1);
    let above = ephemeral.end().saturating_add(1)..=u16::MAX;
    let further_below = 10_000..=ephemeral.start().saturating_sub(1);
    // Where the kernel takes everything, the test by binding has to do.
    [below, above, further_below].into_iter().find(|range| range.len() >= ROOM).unwrap_or(PREFERRED..=u16::MAX)
}

fn ephemeral_range() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => first..=last,
        // The kernel's default.
        _ => 32_768..=60_999,
    }
}

const PREFERRED: u16 = 20_000;
/// Ports a range must have to be worth looking into.
const ROOM: usize = 1_000;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn free_ports_lie_outside_what_the_kernel_gives_away() {
        for (ephemeral, free) in [
            (32_768..=60_999, 20_000..=32_767),
            (20_500..=60_999, 61_000..=65_535),
            (15_000..=65_535, 10_000..=14_999),
            (1_024..=65_535, 20_000..=65_535),
            (0..=0, 1..=65_535),
        ] {
            assert_eq!(free_range(ephemeral), free);
        }
    }

    #[test]
    fn no_two_workers_have_the_same_port_and_a_dropped_one_is_free_again() {
        let (ports, mut rng) = (Ports::default(), SmallRng::seed_from_u64(1));
        let held: Vec<_> = (1..=50).map(|index| ports.choose(None, (index, 50), &mut rng).unwrap()).collect();
        let numbers: HashSet<_> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 50);
        assert_eq!(ports.take(held[0].number()).unwrap_err(), PortError::Ours(held[0].number()));
        drop(held);
        assert!(ports.0.lock().unwrap().is_empty());
    }

    #[test]
    fn fixed_ports_follow_one_another_and_a_taken_one_names_its_holder() {
        let (ports, mut rng) = (Ports::default(), SmallRng::seed_from_u64(1));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let clash = ports.choose(Some(number - 1), (2, 2), &mut rng).unwrap_err().with_holder();
        let pid = std::process::id();
        assert!(clash.to_string().starts_with(&format!("port {number} is taken by ")), "{clash}");
        assert!(clash.to_string().ends_with(&format!("(pid {pid})")), "{clash}");
        drop(taken);
        assert_eq!(ports.choose(Some(number - 1), (2, 2), &mut rng).unwrap().number(), number);
        assert_eq!(ports.choose(Some(65_535), (2, 2), &mut rng).unwrap_err(), PortError::Beyond);
    }

    #[test]
    fn a_worker_and_its_replacement_take_turns() {
        let (ports, mut rng) = (Ports::default(), SmallRng::seed_from_u64(1));
        let first = ports.choose(None, (1, 2), &mut rng).unwrap().number();
        let mut choose = |index| ports.choose(Some(first), (index, 2), &mut rng);
        let (one, two) = (choose(1).unwrap(), choose(2).unwrap());
        let above = choose(1).unwrap();
        assert_eq!([&one, &two, &above].map(Port::number), [first, first + 1, first + 2]);
        drop(one);
        assert_eq!(choose(1).unwrap().number(), first);
        assert_eq!(choose(2).unwrap().number(), first + 3);
    }

    #[test]
    fn when_both_turns_are_given_any_of_the_block_will_do() {
        let (ports, mut rng) = (Ports::default(), SmallRng::seed_from_u64(2));
        let first = (20_000..).step_by(6).find(|first| is_free(*first..*first + 6)).unwrap();
        let mut choose = |index, count| ports.choose(Some(first), (index, count), &mut rng);
        // Two that were replaced once, then a third: its turns are those of count 3.
        let old = [choose(1, 2).unwrap(), choose(2, 2).unwrap()];
        let two = [choose(1, 2).unwrap(), choose(2, 2).unwrap()];
        drop(old);
        let third = choose(3, 3).unwrap();
        assert_eq!(two.each_ref().map(Port::number), [first + 2, first + 3]);
        assert_eq!(third.number(), first + 5);
        let rest: Vec<_> = [3, 1, 2].map(|index| choose(index, 3).unwrap()).into();
        assert_eq!(rest.iter().map(Port::number).collect::<Vec<_>>(), [first, first + 1, first + 4]);
        assert!(matches!(choose(3, 3), Err(PortError::Ours(_))));
    }

    fn is_free(mut ports: std::ops::Range<u16>) -> bool {
        ports.all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    }
}
