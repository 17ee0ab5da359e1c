//! What the kernel says of this machine, and what follows for descriptors, CPUs and the clock.
//!
//! Decides from which number on these are too few. Called by [`super`]. Reads `/proc` and `/sys` once; a number that cannot be read is
//! `None`, and nothing is said of it.

use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit};

use super::finding::{Finding, fine, note, warning};
use crate::config::Config;

/// The numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// Descriptors that the instance may have open; without one, that a process of this shell may have.
    pub(super) descriptors: Option<u64>,
    /// Whether those are the instance's.
    pub(super) is_of_instance: bool,
    /// CPUs that this process may use.
    pub(super) cpus: usize,
    /// Bytes that processes can still have, of the machine or of our control group.
    pub(super) memory_available: Option<u64>,
    /// Whether a control group sets that limit.
    pub(super) memory_of_group: bool,
    pub(super) somaxconn: Option<u64>,
    pub(super) syn_backlog: Option<u64>,
    /// The kernel's ports for outgoing connections.
    pub(super) ports: Option<(u16, u16)>,
    /// Those of them that it leaves alone.
    pub(super) reserved: Vec<(u16, u16)>,
    /// Connections that the firewall follows, and how many it can.
    pub(super) conntrack: Option<(u64, u64)>,
    pub(super) clock_source: Option<String>,
    pub(super) now: Option<u64>,
    /// Whether somebody keeps the clock right; `None` where nobody can tell.
    pub(super) is_synchronised: Option<bool>,
}

impl Machine {
    /// As it is now, for the instance with that process id.
    pub(super) fn look(instance: Option<u64>) -> Self {
        let of_instance = instance.and_then(|pid| limit_of(&read(&format!("/proc/{pid}/limits"))?));
        let own = || getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard);
        let number = |path: &str| read(path)?.trim().parse().ok();
        let (available, of_group) = available();
        Self {
            is_of_instance: of_instance.is_some(),
            descriptors: of_instance.or_else(own),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            memory_available: available,
            memory_of_group: of_group,
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            syn_backlog: number("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
            ports: read("/proc/sys/net/ipv4/ip_local_port_range").and_then(|text| pair(&text)),
            reserved: read("/proc/sys/net/ipv4/ip_local_reserved_ports").map(|text| ranges(&text)).unwrap_or_default(),
            conntrack: number("/proc/sys/net/netfilter/nf_conntrack_count")
                .zip(number("/proc/sys/net/netfilter/nf_conntrack_max")),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
                .map(|text| text.trim().to_owned()),
            now: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
            is_synchronised: is_synchronised(),
        }
    }
}

/// Whether clients and endpoints have enough descriptors.
pub(super) fn descriptors(machine: &Machine, config: Option<&Config>) -> Finding {
    let Some(limit) = machine.descriptors else {
        return note("descriptors", "the limit cannot be read".to_owned(), Vec::new());
    };
    let whose = if machine.is_of_instance { "the instance" } else { "a process of this shell" };
    let wanted =
        config.and_then(|config| config.connections_max).map(|clients| 2 * clients as u64 + DESCRIPTORS_RESERVED);
    let type_this = |wanted: u64| {
        vec![format!("LimitNOFILE={wanted} below [Service] of the unit; or, in the shell: ulimit -n {wanted}")]
    };
    match wanted {
        Some(wanted) if limit < wanted => warning(
            "descriptors",
            format!(
                "{whose} may open {limit}, and connections_max wants {wanted}: two for each client (one to it, one to its \
                 endpoint) and {DESCRIPTORS_RESERVED} besides. Beyond, clients get 503"
            ),
            type_this(wanted),
        ),
        None if limit < DESCRIPTORS_FEW => warning(
            "descriptors",
            format!(
                "{whose} may open {limit}: enough for about {} clients with a request each",
                limit.saturating_sub(DESCRIPTORS_RESERVED) / 2
            ),
            type_this(DESCRIPTORS_MANY),
        ),
        _ => fine(
            "descriptors",
            format!(
                "{whose} may open {limit}: enough for about {} clients with a request each",
                limit.saturating_sub(DESCRIPTORS_RESERVED) / 2
            ),
        ),
    }
}

/// Whether threads and workers fit the CPUs.
pub(super) fn cpus(machine: &Machine, config: Option<&Config>) -> Finding {
    let cpus = machine.cpus;
    let Some(config) = config else { return fine("CPUs", format!("{cpus} usable")) };
    let workers: usize = config.pools.iter().filter_map(|pool| Some(pool.workers.as_ref()?.count)).sum();
    let known = format!("{cpus} usable, {} proxy threads, {workers} workers", config.threads);
    if config.threads > cpus {
        return warning(
            "CPUs",
            format!("{known}: threads beyond the CPUs only wait for each other"),
            vec![format!("threads = {cpus}")],
        );
    }
    if workers > WORKERS_MANY * cpus {
        let why = format!(
            "{known}: more than {WORKERS_MANY} for each CPU. That helps only while workers wait for something else (a database)"
        );
        return note("CPUs", why, vec!["balancer advise".to_owned()]);
    }
    if workers > 0 && workers < cpus {
        let why = format!("{known}: a worker that uses one core leaves {} idle", cpus - workers);
        return note("CPUs", why, vec!["count = \"cpus\" in [pool.NAME.workers]".to_owned()]);
    }
    fine("CPUs", known)
}

/// Whether the clock is right, and quick.
pub(super) fn clock(machine: &Machine) -> Finding {
    let source = machine.clock_source.as_deref().unwrap_or("unknown");
    if machine.now.is_some_and(|now| now < CLOCK_MIN) {
        let why = "it is years behind: logs, certificates and cookies will be wrong".to_owned();
        return warning("clock", why, vec!["timedatectl set-ntp true".to_owned()]);
    }
    if matches!(source, "hpet" | "acpi_pm" | "jiffies") {
        let why = format!("its source is {source}, so each look at it is a system call, several for each request");
        return warning(
            "clock",
            why,
            vec!["echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource".to_owned()],
        );
    }
    match machine.is_synchronised {
        Some(false) => note(
            "clock",
            format!("source {source}; nobody keeps it right, so that logs of several machines cannot be compared"),
            vec!["timedatectl set-ntp true".to_owned()],
        ),
        Some(true) => fine("clock", format!("source {source}, kept right")),
        None => fine("clock", format!("source {source}; who keeps it right cannot be seen from here")),
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The soft limit of `Max open files` (proc_pid_limits(5)).
fn limit_of(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

fn pair(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// `8000,9000-9100`.
fn ranges(text: &str) -> Vec<(u16, u16)> {
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        None => part.parse().ok().map(|port| (port, port)),
    };
    text.trim().split(',').filter_map(range).collect()
}

/// What the machine has left, or our control group where that is less.
fn available() -> (Option<u64>, bool) {
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix("kB")?;
        line.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    });
    // Version 2 of control groups (cgroups(7)): the innermost that has a limit.
    let group = read("/proc/self/cgroup")
        .and_then(|text| Some(text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned()));
    let of_group = group.and_then(|group| {
        let folder = format!("/sys/fs/cgroup{group}");
        let number = |file: &str| read(&format!("{}/{file}", folder.trim_end_matches('/')))?.trim().parse::<u64>().ok();
        Some(number("memory.max")?.saturating_sub(number("memory.current")?))
    });
    match (machine, of_group) {
        (Some(machine), Some(group)) if group < machine => (Some(group), true),
        (machine, group) => (machine.or(group), false),
    }
}

/// What the usual keepers of the clock leave behind.
fn is_synchronised() -> Option<bool> {
    let there = |path: &str| fs::metadata(path).is_ok();
    if there("/run/systemd/timesync/synchronized")
        || there("/run/chrony/chronyd.pid")
        || there("/run/chronyd.pid")
        || there("/run/ntpd.pid")
    {
        return Some(true);
    }
    // In a container, the machine around it has the keeper.
    let is_whole_machine = there("/run/systemd/system");
    is_whole_machine.then_some(false)
}

/// Listeners, runtimes, logs, pipes of workers.
const DESCRIPTORS_RESERVED: u64 = 256;
/// Fewer hold a busy site up.
const DESCRIPTORS_FEW: u64 = 8_192;
const DESCRIPTORS_MANY: u64 = 65_536;
/// Workers for each CPU.
const WORKERS_MANY: usize = 8;
/// 2024-01-01.
const CLOCK_MIN: u64 = 1_704_067_200;

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;
    use crate::config::{ListenAddress, Pool, Workers};

    fn config(threads: usize, workers: usize) -> Config {
        let workers = Workers { count: workers, ..Workers::new(vec!["a".into()]) };
        let pool = Pool { workers: Some(workers), ..Pool::new("app") };
        Config { threads, ..Config::new(ListenAddress::Tcp("127.0.0.1:80".parse().unwrap()), pool) }
    }

    #[test]
    fn descriptors_are_held_against_what_the_file_wants() {
        let machine = |limit| Machine { descriptors: Some(limit), ..Machine::default() };
        assert_eq!(descriptors(&machine(1_024), None).level, Severity::Warning);
        assert!(descriptors(&machine(1_024), None).why.contains("about 384 clients"));
        assert_eq!(descriptors(&machine(1 << 20), None).level, Severity::Fine);
        let wanting = Config { connections_max: Some(10_000), ..config(1, 1) };
        let found = descriptors(&machine(20_000), Some(&wanting));
        assert!(found.level == Severity::Warning && found.type_this[0].contains("LimitNOFILE=20256"), "{found:?}");
        assert_eq!(descriptors(&machine(20_256), Some(&wanting)).level, Severity::Fine);
    }

    #[test]
    fn threads_and_workers_are_held_against_the_cpus() {
        let machine = Machine { cpus: 4, ..Machine::default() };
        for (threads, workers, level) in [
            (4, 4, Severity::Fine),
            (8, 4, Severity::Warning),
            (4, 2, Severity::Note),
            (4, 33, Severity::Note),
            (4, 32, Severity::Fine),
        ] {
            assert_eq!(cpus(&machine, Some(&config(threads, workers))).level, level, "{threads} {workers}");
        }
        assert_eq!(cpus(&machine, None).level, Severity::Fine);
    }

    #[test]
    fn a_clock_that_is_slow_wrong_or_left_alone_is_told() {
        let machine = |source: &str, now, is_synchronised| Machine {
            clock_source: Some(source.into()),
            now: Some(now),
            is_synchronised,
            ..Machine::default()
        };
        let now = 1_800_000_000;
        for (machine, level) in [
            (machine("tsc", now, Some(true)), Severity::Fine),
            (machine("kvm-clock", now, None), Severity::Fine),
            (machine("tsc", now, Some(false)), Severity::Note),
            (machine("hpet", now, Some(true)), Severity::Warning),
            (machine("tsc", 1_000, Some(true)), Severity::Warning),
        ] {
            assert_eq!(clock(&machine).level, level, "{machine:?}");
        }
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(limit_of(limits), Some(1_024));
        assert_eq!(pair("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(ranges("8000,9000-9100\n"), [(8_000, 8_000), (9_000, 9_100)]);
        assert!(ranges("\n").is_empty());
        assert!(Machine::look(None).cpus > 0 && Machine::look(None).memory_available.is_some());
    }
}
