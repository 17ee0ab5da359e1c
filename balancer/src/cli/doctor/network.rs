//! What the kernel allows of connections: queues of listeners, ports, what the firewall follows.
//!
//! Decides from which number on these are too few. Called by [`super`]. Pure: what was read is handed in.

use super::finding::{Finding, fine, note, warning};
use super::machine::Machine;
use crate::config::{Address, Config, ListenAddress};

/// One finding for each thing that can be read.
pub(super) fn findings(machine: &Machine, config: Option<&Config>) -> Vec<Finding> {
    let all =
        [queues(machine), ports(machine, config), config.and_then(|config| taken(machine, config)), conntrack(machine)];
    all.into_iter().flatten().collect()
}

fn queues(machine: &Machine) -> Option<Finding> {
    let (most, half_open) = (machine.somaxconn?, machine.syn_backlog.unwrap_or(u64::MAX));
    Some(match most {
        0..QUEUE_WANTED => warning(
            "somaxconn",
            format!(
                "{most} connections may wait to be accepted, where balancer asks for {QUEUE_WANTED}: in a burst, clients wait a second for the next try"
            ),
            vec![format!("sysctl -w net.core.somaxconn={QUEUE_WANTED}")],
        ),
        _ if half_open < HALF_OPEN_FEW => note(
            "somaxconn",
            format!("{most}, but only {half_open} connections may be half open (tcp_max_syn_backlog)"),
            vec![format!("sysctl -w net.ipv4.tcp_max_syn_backlog={QUEUE_WANTED}")],
        ),
        _ => fine("somaxconn", format!("{most} connections may wait to be accepted")),
    })
}

/// Connections to one endpoint have a port each, and it is in use for a minute after its connection (TIME-WAIT).
fn ports(machine: &Machine, config: Option<&Config>) -> Option<Finding> {
    let (first, last) = machine.ports?;
    let all = u64::from(last.saturating_sub(first)) + 1;
    let is_by_tcp = |config: &Config| {
        config.pools.iter().any(|pool| {
            let of_tcp = pool.endpoints.iter().any(|endpoint| matches!(endpoint.address, Address::Tcp { .. }));
            of_tcp || pool.dns.name.is_some() || pool.workers.as_ref().is_some_and(|workers| !workers.socket)
        })
    };
    if !config.is_none_or(is_by_tcp) {
        return Some(fine("ports", "no endpoint is reached by TCP".to_owned()));
    }
    let known = format!(
        "{first} to {last}: {all} connections to one endpoint, or {} new ones a second where it keeps none",
        all / TIME_WAIT
    );
    Some(match all {
        0..PORTS_FEW => {
            warning("ports", known, vec!["sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"".to_owned()])
        }
        _ => fine("ports", known),
    })
}

/// Ports we or workers want that the kernel may have given to an outgoing connection.
fn taken(machine: &Machine, config: &Config) -> Option<Finding> {
    let (first, last) = machine.ports?;
    let listen = config.listen.iter().filter_map(|address| match address.place() {
        ListenAddress::Tcp(address) => Some(address.port()),
        _ => None,
    });
    let workers = config.pools.iter().filter_map(|pool| {
        let workers = pool.workers.as_ref()?;
        // A replacement takes one of as many ports above.
        Some((workers.first_port?..).take(2 * workers.count))
    });
    let is_free = |port: &u16| machine.reserved.iter().any(|(first, last)| (*first..=*last).contains(port));
    let mut risky: Vec<u16> = listen.chain(workers.flatten()).collect();
    risky.retain(|port| (first..=last).contains(port) && !is_free(port));
    let shown = |port: &u16| port.to_string();
    (!risky.is_empty()).then(|| {
        let some: Vec<String> = risky.iter().take(PORTS_SHOWN).map(shown).collect();
        let (low, high) = (risky.iter().min().copied().unwrap_or(first), risky.iter().max().copied().unwrap_or(last));
        warning(
            "own ports",
            format!(
                "{} of the file lie between {first} and {last}, from where the kernel takes ports for outgoing connections: one day \
                 such a port is taken when it is wanted",
                some.join(", ")
            ),
            vec![format!("sysctl -w net.ipv4.ip_local_reserved_ports={low}-{high}")],
        )
    })
}

fn conntrack(machine: &Machine) -> Option<Finding> {
    let (count, max) = machine.conntrack?;
    let known = format!("the firewall follows {count} of {max} connections");
    Some(match count {
        count if count > max / 5 * 4 => warning(
            "conntrack",
            format!("{known}; beyond, packets are dropped"),
            vec![format!("sysctl -w net.netfilter.nf_conntrack_max={}", max * 4)],
        ),
        _ => fine("conntrack", known),
    })
}

/// What balancer asks for at each listener.
const QUEUE_WANTED: u64 = 4_096;
const HALF_OPEN_FEW: u64 = 256;
/// Seconds (Linux's own).
const TIME_WAIT: u64 = 60;
const PORTS_FEW: u64 = 16_384;
const PORTS_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;
    use crate::config::{Pool, Workers};

    fn found<'f>(all: &'f [Finding], what: &str) -> Option<&'f Finding> {
        all.iter().find(|one| one.what == what)
    }

    #[test]
    fn few_places_in_queues_and_few_ports_are_told_with_their_numbers() {
        let poor = Machine {
            somaxconn: Some(128),
            ports: Some((50_000, 50_999)),
            conntrack: Some((90, 100)),
            ..Machine::default()
        };
        let all = findings(&poor, None);
        assert!(all.len() == 3 && all.iter().all(|one| one.level == Severity::Warning), "{all:?}");
        assert!(found(&all, "ports").unwrap().why.contains("1000 connections to one endpoint, or 16 new ones"));
        let rich = Machine {
            somaxconn: Some(4_096),
            ports: Some((32_768, 60_999)),
            conntrack: Some((9, 100)),
            ..Machine::default()
        };
        assert!(findings(&rich, None).iter().all(|one| one.level == Severity::Fine));
        let half = Machine { syn_backlog: Some(128), ..rich };
        assert_eq!(found(&findings(&half, None), "somaxconn").unwrap().level, Severity::Note);
        assert!(findings(&Machine::default(), None).is_empty(), "nothing is said of what cannot be read");
    }

    #[test]
    fn ports_of_the_file_that_the_kernel_may_give_away_are_told_unless_it_leaves_them_alone() {
        let workers = Workers { count: 2, first_port: Some(40_000), ..Workers::new(vec!["a".into()]) };
        let pool = Pool { workers: Some(workers), ..Pool::new("app") };
        let config = Config::new(ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap()), pool);
        let machine = Machine { ports: Some((32_768, 60_999)), ..Machine::default() };
        let all = findings(&machine, Some(&config));
        let own = found(&all, "own ports").unwrap();
        assert!(
            own.why.starts_with("40000, 40001, 40002, 40003 of the file") && own.type_this[0].ends_with("=40000-40003"),
            "{own:?}"
        );
        let left_alone = Machine { reserved: vec![(40_000, 40_010)], ..machine };
        assert!(found(&findings(&left_alone, Some(&config)), "own ports").is_none());
    }
}
