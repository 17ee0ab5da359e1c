//! What is measured: one kind of load each, with everything it needs around it.
//!
//! Decides names, order, load, columns and set-up of the scenarios. Called by [`crate::arguments`], [`super::compare`] and its neighbours. Never starts anything.

use super::{target::Target, tool::Tool};
use crate::arguments::{OriginKind, Plan, name_of};
use crate::exchange;
use clap::ValueEnum;

/// One table of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// wrk -c64, 11 bytes: connections kept open
    Keepalive,
    /// ab -c 100: a connection per request, the articles' test
    Connection,
    /// Responses of 100 KB
    #[value(name = "100kb")]
    Kb100,
    /// Responses of 1 MB
    #[value(name = "1mb")]
    Mb1,
    /// Requests of 1 MB
    Upload,
    /// One connection: what a proxy adds to a request's way
    Latency,
    /// 4,000 connections at once
    Many,
    /// Open loop at 50 % of the measured capacity
    Open50,
    /// Open loop at 90 % of the measured capacity
    Open90,
    /// Memory per idle keep-alive connection
    Idle,
    /// Throughput beside 18,000 idle connections against none
    IdleLoad,
    /// Endpoints on Unix sockets
    Unix,
    /// ab over two workers that compute 5 ms a request, against one of them direct
    Work,
    /// The combined access log to a file, against none
    AccessLog,
}

impl Scenario {
    /// In the order of measuring and printing.
    pub(crate) fn all() -> impl Iterator<Item = Scenario> {
        Scenario::value_variants().iter().copied()
    }

    /// What `--quick` measures where nothing is named: one of each kind of work, in under a minute.
    pub(crate) const QUICK: [Scenario; 5] =
        [Scenario::Keepalive, Scenario::Connection, Scenario::Kb100, Scenario::Idle, Scenario::Unix];

    /// As `--scenario` takes it.
    pub(crate) fn name(self) -> String {
        name_of(&self)
    }

    /// In a line, as `--list` prints it.
    pub(crate) fn title(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// Share of the capacity an open loop asks for; `None` for everything else.
    pub(crate) fn open_share(self) -> Option<f64> {
        match self {
            Scenario::Open50 => Some(0.5),
            Scenario::Open90 => Some(0.9),
            _ => None,
        }
    }

    /// Who loads the columns; `None` where only idle connections are held.
    pub(crate) fn tool(self, plan: &Plan) -> Option<Tool> {
        let seconds = u32::try_from(plan.duration.as_secs()).unwrap_or(u32::MAX);
        let wrk = |connections| Tool::Wrk { connections, seconds, upload: self == Scenario::Upload };
        Some(match self {
            Scenario::Keepalive | Scenario::IdleLoad | Scenario::Unix | Scenario::AccessLog => wrk(plan.connections),
            Scenario::Connection => Tool::Ab { requests: plan.requests, concurrency: plan.concurrency },
            Scenario::Kb100 => wrk(32),
            Scenario::Mb1 | Scenario::Upload => wrk(8),
            Scenario::Latency => wrk(1),
            Scenario::Many => {
                // Opening thousands of connections takes its part of the run.
                Tool::Wrk { connections: plan.many, seconds: seconds.max(MANY_SECONDS_MIN), upload: false }
            }
            // As fast as answers come; the rate is known when the capacity has been measured.
            Scenario::Open50 | Scenario::Open90 => Tool::Open { connections: OPEN_CONNECTIONS, rate: 0, seconds },
            Scenario::Idle => return None,
            Scenario::Work => Tool::Ab { requests: plan.work_requests, concurrency: plan.concurrency },
        })
    }

    /// Idle connections held during a run in which there are some; 0 where the scenario is not about them.
    pub(crate) fn idle(self, plan: &Plan) -> u32 {
        match self {
            Scenario::Idle => plan.idle,
            Scenario::IdleLoad => plan.idle_load,
            _ => 0,
        }
    }

    /// What its origin and its proxies are told.
    pub(crate) fn setting(self, plan: &Plan, origin: OriginKind) -> Setting {
        let clients = self.tool(plan).map_or(0, Tool::connections) + self.idle(plan);
        let path = match self {
            Scenario::Kb100 => "/bytes?n=102400",
            Scenario::Mb1 => "/bytes?n=1048576",
            _ => exchange::PATH,
        };
        // nginx's `return` answers before it has read a request's body, and it cannot compute.
        let needs_backend = matches!(self, Scenario::Upload | Scenario::Work);
        Setting {
            scenario: self,
            path,
            idle: self.idle(plan),
            clients,
            origin: if needs_backend { OriginKind::Backend } else { origin },
            sockets: self == Scenario::Unix,
            work_us: if self == Scenario::Work { WORK_US } else { 0 },
        }
    }

    /// What stands side by side, of the targets there are.
    pub(crate) fn columns(self, targets: &[Target]) -> Vec<Column> {
        let plain = |target: &Target| Column { target: *target, condition: Condition::Plain };
        let large = matches!(self, Scenario::Kb100 | Scenario::Mb1 | Scenario::Upload);
        let small = matches!(self, Scenario::Keepalive | Scenario::Connection);
        let proxy_only = matches!(self, Scenario::Idle | Scenario::IdleLoad | Scenario::Unix | Scenario::AccessLog);
        let takes_part = |target: &&Target| match target {
            Target::Direct => !proxy_only,
            Target::NginxBare => small,
            Target::HaproxySplice => large,
            Target::Nginx | Target::Haproxy => self != Scenario::AccessLog,
            Target::Balancer => true,
        };
        let plain = targets.iter().filter(takes_part).map(plain);
        let second = match self {
            Scenario::IdleLoad => Some(Condition::Idle),
            Scenario::AccessLog => Some(Condition::AccessLog),
            _ => None,
        };
        plain
            .flat_map(|column| [Some(column), second.map(|condition| Column { condition, ..column })])
            .flatten()
            .collect()
    }
}

/// What one scenario asks of those that are started for it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) scenario: Scenario,
    pub(crate) path: &'static str,
    /// Idle connections held in the columns that have some.
    pub(crate) idle: u32,
    /// Clients' connections at once, idle ones included.
    pub(crate) clients: u32,
    pub(crate) origin: OriginKind,
    /// Are the endpoints Unix sockets?
    pub(crate) sockets: bool,
    /// CPU time each request burns at its endpoint, microseconds.
    pub(crate) work_us: u32,
}

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) target: Target,
    pub(crate) condition: Condition,
}

/// In what a column differs from the target as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Plain,
    /// Beside idle connections to the same process.
    Idle,
    /// With the access log on.
    AccessLog,
}

impl Column {
    pub(crate) const fn plain(target: Target) -> Column {
        Column { target, condition: Condition::Plain }
    }

    /// Its head.
    pub(crate) fn name(self) -> String {
        let name = self.target.name();
        match self.condition {
            Condition::Plain => name.to_owned(),
            Condition::Idle => format!("{name}, idle too"),
            Condition::AccessLog => format!("{name}, log"),
        }
    }
}

/// A stall of 10 ms at 20,000 requests a second takes 200 connections; beyond, arrivals wait in the generator and count.
const OPEN_CONNECTIONS: u32 = 256;
const MANY_SECONDS_MIN: u32 = 5;
/// A request that does real work.
const WORK_US: u32 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scenario: Scenario, targets: &[Target]) -> Vec<String> {
        scenario.columns(targets).into_iter().map(Column::name).collect()
    }

    #[test]
    fn every_scenario_has_a_name_and_a_title() {
        assert!(Scenario::all().all(|scenario| !scenario.title().is_empty()));
        assert_eq!(Scenario::Kb100.name(), "100kb");
        assert_eq!(Scenario::IdleLoad.name(), "idle-load");
    }

    #[test]
    fn columns_are_those_that_can_take_part() {
        let all = Target::value_variants();
        assert_eq!(names(Scenario::Keepalive, all), ["direct", "balancer", "nginx", "nginx bare", "haproxy"]);
        assert_eq!(names(Scenario::Mb1, all), ["direct", "balancer", "nginx", "haproxy", "haproxy splice"]);
        assert_eq!(names(Scenario::Unix, all), ["balancer", "nginx", "haproxy"]);
        assert_eq!(names(Scenario::AccessLog, all), ["balancer", "balancer, log"]);
        let two = [Target::Balancer, Target::Nginx];
        assert_eq!(names(Scenario::IdleLoad, &two), ["balancer", "balancer, idle too", "nginx", "nginx, idle too"]);
    }
}
