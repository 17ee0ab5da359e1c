//! The command line.
//!
//! Decides defaults and refuses what cannot be measured. Called by `main`. Never looks at the machine.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::crowd::{attack, overload, supermarket};
use crate::replace::{self, soak};
use crate::{articles, compare::scenario::Scenario, compare::target::Target, footprint, guard, lab::Builds};

/// Compares direct against proxied, and proxies with each other, in one run on one machine.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Kind>,
    #[command(flatten)]
    compare: Compare,
}

/// A new command is a variant here, one in [`Command`] and a line in `main`.
#[derive(Subcommand)]
enum Kind {
    /// Direct, balancer, nginx and HAProxy side by side (what runs when no command is given)
    Compare(Compare),
    /// The working tree against an earlier revision: instructions per request
    Guard(guard::Plan),
    /// Instructions per request of one balancer, in several manners of asking; about a minute
    Instructions(guard::One),
    /// Memory for what is open, CPU time for a body in small pieces, time for an answer in two; about four minutes
    Footprint(footprint::Plan),
    /// Short requests behind long ones: four workers that serve one request at a time, and a crowd
    Supermarket(supermarket::Plan),
    /// Goodput and latency when up to twenty times as much is asked for as can be done
    Overload(overload::Plan),
    /// Thousands of clients that are slow on purpose, and what a good one notices of them
    Attack(attack::Plan),
    /// Workers, files and numbers are replaced under load: what is promised and what was seen
    Replace(replace::Plan),
    /// Everything at once on one balancer, for an hour: does a request fail that nobody broke, does it grow
    Soak(soak::Plan),
    /// The articles this project was made from: each claim in a minute, and a page of them
    Articles(articles::Plan),
    /// A load that does not wait for answers; started by compare
    #[command(hide = true)]
    OpenLoop(OpenLoop),
}

/// What the user asked for, checked.
#[derive(Debug)]
pub(crate) enum Command {
    Compare(Plan),
    Guard(guard::Plan),
    Instructions(guard::One),
    Footprint(footprint::Plan),
    Supermarket(supermarket::Plan),
    Overload(overload::Plan),
    Attack(attack::Plan),
    Replace(replace::Plan),
    Soak(soak::Plan),
    Articles(articles::Plan),
    /// The scenarios' names are wanted, nothing else.
    List,
    OpenLoop(OpenLoop),
}

impl Command {
    /// Reads the process's arguments; prints help or the mistake and exits (0 or 2) where there is nothing to run.
    pub(crate) fn from_command_line() -> Command {
        Command::try_from_arguments(std::env::args_os()).unwrap_or_else(|e| e.exit())
    }

    pub(crate) fn try_from_arguments(
        arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Command, clap::Error> {
        let line = CommandLine::try_parse_from(arguments)?;
        let given = match line.command {
            Some(Kind::Guard(given)) => return Ok(Command::Guard(given)),
            Some(Kind::Instructions(one)) => return Ok(Command::Instructions(one)),
            Some(Kind::Footprint(plan)) => return Ok(Command::Footprint(plan)),
            Some(Kind::Supermarket(plan)) => return Ok(Command::Supermarket(plan)),
            Some(Kind::Overload(plan)) => return Ok(Command::Overload(plan)),
            Some(Kind::Attack(plan)) => return Ok(Command::Attack(plan)),
            Some(Kind::Replace(plan)) => return Ok(Command::Replace(plan)),
            Some(Kind::Soak(plan)) => return Ok(Command::Soak(plan)),
            Some(Kind::Articles(plan)) => return Ok(Command::Articles(plan)),
            Some(Kind::OpenLoop(given)) => return Ok(Command::OpenLoop(given)),
            Some(Kind::Compare(given)) => given,
            None => line.compare,
        };
        if given.list { Ok(Command::List) } else { given.plan().map(Command::Compare) }
    }
}

#[derive(Args)]
struct Compare {
    /// What to measure, of those --list prints [default: all; quick: keepalive,connection,100kb,idle,unix]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', hide_possible_values = true)]
    scenario: Vec<Scenario>,
    /// Print the scenarios and what they are, and measure nothing
    #[arg(long)]
    list: bool,
    /// Requests of one ab run [default: 50000; quick: 5000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    requests: Option<u32>,
    /// Connections ab opens at once; each carries one request
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    concurrency: u32,
    /// Length of one wrk run, whole seconds or minutes [default: 5s; quick: 1s]
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    duration: Option<Duration>,
    /// Connections wrk keeps open where the scenario does not say
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,
    /// Alternating rounds, of which the median is reported [default: 3; quick: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// A look in under a minute: some scenarios, one round, fewer requests
    #[arg(long)]
    quick: bool,
    /// The columns [default: all but nginx-bare, those installed]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Target>,
    /// Measure nginx without added fields too (no X-Forwarded-*, a bare proxy_pass)
    #[arg(long)]
    nginx_bare: bool,
    /// Who answers behind the proxies [default: nginx where installed, else backend]
    #[arg(long)]
    origin: Option<OriginKind>,
    /// Proxies write an access log (to a file)
    #[arg(long)]
    access_log: bool,
    #[command(flatten)]
    builds: Builds,
    /// Where results.json, results.csv, RESULTS.md and pictures go [default: bench/results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write the page there instead of FOLDER/RESULTS.md
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Write every single measurement there instead of FOLDER/results.json
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the open-loop generator is told, by ourselves.
#[derive(Args, Debug)]
pub(crate) struct OpenLoop {
    /// On 127.0.0.1
    #[arg(long)]
    pub(crate) port: u16,
    #[arg(long)]
    pub(crate) path: String,
    /// Arrivals a second; 0: each connection asks again as soon as it is answered
    #[arg(long)]
    pub(crate) rate: u32,
    #[arg(long)]
    pub(crate) seconds: u32,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,
}

/// The program behind the proxies: two of them, or one with two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OriginKind {
    /// nginx that returns a constant, on two ports: the cheapest and steadiest origin.
    Nginx,
    /// Two processes of this workspace's `backend`.
    Backend,
}

/// A command line that holds together.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// In the order they are measured and printed; never empty, none twice.
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) requests: u32,
    pub(crate) concurrency: u32,
    pub(crate) duration: Duration,
    pub(crate) connections: u32,
    /// Connections of the scenario `many`.
    pub(crate) many: u32,
    /// Idle connections of the scenario `idle`.
    pub(crate) idle: u32,
    /// Idle connections of the scenario `idle-load`.
    pub(crate) idle_load: u32,
    /// Requests of one ab run of the scenario `work`.
    pub(crate) work_requests: u32,
    pub(crate) rounds: u32,
    /// In the order they are measured and printed; never empty, none twice.
    pub(crate) targets: Vec<Target>,
    /// Did the user name the targets? Then a missing program is a failure, not a column left out.
    pub(crate) targets_named: bool,
    pub(crate) origin: Option<OriginKind>,
    pub(crate) access_log: bool,
    pub(crate) builds: Builds,
    /// A folder, and files that do not go there.
    pub(crate) output: PathBuf,
    pub(crate) results: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
}

impl Compare {
    fn plan(self) -> Result<Plan, clap::Error> {
        let given = self;
        let (requests, seconds, rounds) = if given.quick { (5_000, 1, 1) } else { (50_000, 5, 3) };
        let requests = given.requests.unwrap_or(requests);
        if given.concurrency > requests {
            let text = format!("--concurrency {} is more than --requests {requests}\n", given.concurrency);
            return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, text));
        }
        let chosen = |scenario: &Scenario| match (given.scenario.as_slice(), given.quick) {
            ([], false) => true,
            ([], true) => Scenario::QUICK.contains(scenario),
            (named, _) => named.contains(scenario),
        };
        let [many, idle, idle_load, work_requests] =
            [4_000, if given.quick { 1_000 } else { 6_000 }, 18_000, if given.quick { 400 } else { 2_000 }];
        let wanted = |target| match given.only.as_slice() {
            [] => target != Target::NginxBare || given.nginx_bare,
            only => only.contains(&target) || (target == Target::NginxBare && given.nginx_bare),
        };
        Ok(Plan {
            scenarios: Scenario::all().filter(chosen).collect(),
            many,
            idle,
            idle_load,
            work_requests: work_requests.max(given.concurrency),
            output: given.output.unwrap_or_else(default_output),
            results: given.results,
            requests,
            concurrency: given.concurrency,
            duration: given.duration.unwrap_or(Duration::from_secs(seconds)),
            connections: given.connections,
            rounds: given.rounds.unwrap_or(rounds),
            targets: Target::value_variants().iter().copied().filter(|target| wanted(*target)).collect(),
            targets_named: !given.only.is_empty(),
            origin: given.origin,
            access_log: given.access_log,
            builds: given.builds,
            json: given.json,
        })
    }
}

/// Beside this crate where cargo runs us, else where we are.
pub(crate) fn default_output() -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    folder.map_or_else(|| PathBuf::from("bench-results"), |folder| folder.join("results"))
}

/// What a value is called on the command line.
pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// "0.7"
pub(crate) fn share(text: &str) -> Result<f64, String> {
    within(text, 0.01, 2.0).ok_or_else(|| "a share from 0.01 to 2".to_owned())
}

/// "20"
pub(crate) fn multiple(text: &str) -> Result<f64, String> {
    within(text, 0.01, 100.0).ok_or_else(|| "from 0.01 to 100".to_owned())
}

fn within(text: &str, least: f64, most: f64) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| (least..=most).contains(number))
}

/// At most a day.
pub(crate) fn hours(text: &str) -> Result<Duration, String> {
    whole_time(text, 24)
}

/// wrk takes whole numbers only: "5s", "2m", "5" (seconds); at most an hour.
pub(crate) fn whole_seconds(text: &str) -> Result<Duration, String> {
    whole_time(text, 1)
}

/// The same up to so many hours; "1h" too.
fn whole_time(text: &str, hours_max: u64) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("whole seconds or minutes, like 5s or 1m".to_owned()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match seconds {
        Some(seconds) if (1..=hours_max * 3600).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("from 1s to {}m", hours_max * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &str) -> Result<Plan, String> {
        let words = std::iter::once("bench").chain(arguments.split_whitespace());
        match Command::try_from_arguments(words).map_err(|e| e.to_string())? {
            Command::Compare(plan) => Ok(plan),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_command_may_be_named_or_not() {
        for line in ["", "compare"] {
            let plan = plan(line).unwrap();
            assert_eq!((plan.requests, plan.concurrency, plan.rounds), (50_000, 100, 3));
            assert_eq!((plan.duration, plan.connections), (Duration::from_secs(5), 64));
            let all = [Target::Direct, Target::Balancer, Target::Nginx, Target::Haproxy, Target::HaproxySplice];
            assert_eq!(plan.targets, all);
            assert_eq!(plan.scenarios, Scenario::value_variants());
        }
    }

    #[test]
    fn quick_changes_only_what_was_not_given() {
        let plan = plan("--quick --rounds 2").unwrap();
        assert_eq!((plan.requests, plan.duration, plan.rounds), (5_000, Duration::from_secs(1), 2));
        assert_eq!(plan.scenarios, Scenario::QUICK);
    }

    #[test]
    fn scenarios_are_measured_in_one_order_and_once() {
        let plan = plan("compare --quick --scenario idle,1mb,idle").unwrap();
        assert_eq!(plan.scenarios, [Scenario::Mb1, Scenario::Idle]);
        assert_eq!(super::tests::plan("--list").unwrap_err(), "List");
    }

    #[test]
    fn targets_are_measured_in_one_order_and_once() {
        let plan = plan("compare --only nginx,direct,nginx --nginx-bare").unwrap();
        assert_eq!(plan.targets, [Target::Direct, Target::Nginx, Target::NginxBare]);
        assert!(plan.targets_named);
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--requests 200 --concurrency 300", "--concurrency 300 is more than --requests 200"),
            ("--requests 0", "0 is not in 100..=10000000"),
            ("--duration 1.5s", "whole seconds or minutes"),
            ("--duration 0s", "from 1s to 60m"),
            ("--duration 99999999999999999999m", "from 1s to 60m"),
            ("--only apache", "[possible values: direct, balancer, nginx, nginx-bare, haproxy, haproxy-splice]"),
            ("--scenario slow", "invalid value 'slow' for '--scenario"),
            ("--rounds 0", "0 is not in 1..=100"),
        ] {
            let message = plan(line).unwrap_err();
            assert!(message.contains(reason), "{line}: {message}");
        }
    }

    #[test]
    fn loads_are_bounded() {
        assert_eq!((share("0.8"), multiple("20")), (Ok(0.8), Ok(20.0)));
        assert!(["0", "-1", "3", "NaN", "inf", "x", ""].iter().all(|text| share(text).is_err()));
        assert!(["0", "101", "-1", "NaN", "x"].iter().all(|text| multiple(text).is_err()));
    }

    #[test]
    fn durations_are_whole_seconds() {
        assert_eq!(whole_seconds("7"), Ok(Duration::from_secs(7)));
        assert_eq!(whole_seconds("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(
            (whole_time("2h", 24), whole_seconds("2h")),
            (Ok(Duration::from_secs(7_200)), Err("from 1s to 60m".into()))
        );
    }
}
