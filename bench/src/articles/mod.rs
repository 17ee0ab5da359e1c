//! The articles, runnable: each claim in a minute, and one page that has them all.
//!
//! Decides which claims there are and how the page is made of `articles.csv` and what was measured. Called by `main`. Never
//! measures by itself: a claim is a command of this program, or a few lines in the files beside this one.

mod page;
mod servers;
mod sharing;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::arguments::{Command, default_output, name_of};
use crate::cores::Place;
use crate::exchange::{Endpoint, PATH};
use crate::lab::{Builds, Lab, free_ports};
use crate::load::get::Get;
use crate::load::{Clients, Load, Pace, Plan as Sending, Sent, local};
use crate::plot::{Bar, Bars, Drawing, Panel};
use crate::proxies::{self, Make};
use crate::report::figure::{Figure, Unit};
use crate::report::{Report, Section};
use crate::{events::Events, failure::Failure, machine::Machine, say, service::Service};

/// The arguments of `articles`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// The claims to run [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    claim: Vec<Claim>,
    /// Write the page with every row and its command, and measure nothing
    #[arg(long)]
    unmeasured: bool,
    #[command(flatten)]
    builds: Builds,
    /// Where articles.json, articles.csv and the pictures go [default: bench/results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write the page there instead of FOLDER/ARTICLES.md, the pictures beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) results: Option<PathBuf>,
}

/// Something an article says that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Claim {
    /// Three requests of a second at once, on each model of a server
    Models,
    /// Sequential requests go to the workers in strict turn, whatever threads the proxy has
    Alternation,
    /// ab with a connection per request: direct, balancer, nginx at the article's percentiles
    Percentiles,
    /// What a thread for each connection takes, beside an event loop
    ThreadMemory,
    /// 500 descriptors and 1,000 connections: a plain server, and the same server behind the balancer
    Descriptors,
    /// Twenty threads of 200 ms answer a hundred requests a second
    LittlesLaw,
    /// One client that sends its request a byte a second, before a server that does one thing at a time
    SlowClient,
    /// One of four workers is killed under load
    Crash,
    /// All workers are replaced again and again under load
    Roll,
    /// The same client gets the same worker: by its address, by a cookie
    Affinity,
    /// Who wants little behind those who want much: one queue, a slow lane, round robin, least_conn
    Supermarket,
    /// 100 to 18,000 connections: what each takes while it is idle
    Ladder,
    /// Throughput does not fall as load rises to twenty times what can be done
    Overload,
    /// A proxy in Node beside the balancer, a core each
    NodeProxy,
    /// Workers behind the proxy, on a shared listener, on a port each takes by itself, and by handed connections
    Sharing,
}

impl Plan {
    /// Where the files go.
    pub(crate) fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(default_output)
    }
}

/// Runs the claims; sound where every one that could be run holds.
pub(crate) fn articles(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    let mut bench = Bench { lab: Lab::with(&[], &Builds::default(), events)?, builds: plan.builds.clone() };
    let mut report = Report::of(Vec::new(), Section::of_lines(Vec::new()));
    report.sections.clear();
    if !plan.unmeasured {
        bench.lab = Lab::of(&plan.builds, events)?;
        report.head = Machine::look(&bench.lab, &["balancer"])?.lines();
        let wanted = |claim: &&Claim| plan.claim.is_empty() || plan.claim.contains(claim);
        for claim in Claim::value_variants().iter().filter(wanted) {
            let section = claim.run(&bench)?;
            section
                .figures()
                .for_each(|figure| say(&format!("{}: {}: {}", section.name, figure.what, figure.text_with_unit())));
            report.sound &= !section.figures().any(Figure::is_missed);
            report.drawings.extend(drawing(&section)?);
            report.sections.push(section);
        }
        report.foot.push(report.bars());
    }
    report.page = Some(page::page(&report)?);
    Ok(report)
}

impl Claim {
    fn run(self, bench: &Bench) -> Result<Section, Failure> {
        let name = name_of(&self);
        say(&format!("{name}: {}", self.title()));
        let measured = match self {
            Claim::Models => servers::models(bench),
            Claim::Alternation => servers::alternation(bench),
            Claim::Percentiles => bench
                .command("--quick --scenario connection --only direct,balancer,nginx", |figure| {
                    (figure.unit == Unit::Milliseconds).then(|| format!("{}, {}", figure.of, figure.what))
                }),
            Claim::ThreadMemory => servers::thread_memory(bench),
            Claim::Descriptors => servers::descriptors(bench),
            Claim::LittlesLaw => servers::littles_law(bench),
            Claim::SlowClient => servers::slow_client(bench),
            Claim::Crash => bench.command("replace --scenario kill --workers built-in --duration 10s", all),
            Claim::Roll => bench.command("replace --scenario roll --workers built-in --duration 10s", all),
            Claim::Affinity => servers::affinity(bench),
            Claim::Supermarket => bench.command("supermarket --duration 20s", |figure| {
                figure.what.starts_with("fast p").then(|| format!("{}, {}", figure.of, figure.what))
            }),
            Claim::Ladder => servers::ladder(bench),
            Claim::Overload => bench.command("overload --offered 0.5,1,5,20 --duration 4s", |figure| {
                ["goodput", "of capacity", "200 p99"]
                    .contains(&figure.what.as_str())
                    .then(|| format!("{}, {}", figure.of, figure.what))
            }),
            Claim::NodeProxy => sharing::node_proxy(bench),
            Claim::Sharing => sharing::modes(bench),
        };
        let (figures, notes) = match measured {
            Ok(measured) => measured,
            // What is not installed keeps no other claim from being run.
            Err(Failure::Missing(why)) => (Vec::new(), vec![format!("Not run: {why}")]),
            Err(failure) => return Err(failure),
        };
        Ok(Section { name, title: self.title(), notes, ..Section::of_lines(figures) })
    }

    fn title(self) -> String {
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }
}

/// Figures of a claim, and what they do not say.
type Measured = (Vec<Figure>, Vec<String>);

/// What running any of them takes.
struct Bench {
    lab: Lab,
    builds: Builds,
}

impl Bench {
    /// A command of this program; `name` says what a figure of its is called here, where it is shown.
    fn command(&self, line: &str, name: fn(&Figure) -> Option<String>) -> Result<Measured, Failure> {
        let mut words: Vec<String> = std::iter::once("bench").chain(line.split(' ')).map(str::to_owned).collect();
        for (option, path) in [("--balancer", &self.builds.balancer), ("--backend", &self.builds.backend)] {
            words.extend(path.iter().flat_map(|path| [option.to_owned(), path.display().to_string()]));
        }
        let command = Command::try_from_arguments(words).map_err(|e| Failure::Missing(e.to_string()))?;
        let report = crate::measure(&command, &self.lab.events)?;
        let mut measured: Measured = (Vec::new(), Vec::new());
        for section in report.sections {
            let named = section.groups.into_iter().flatten().filter_map(|figure| Some((name(&figure)?, figure)));
            measured.0.extend(named.map(|(what, figure)| Figure { what, of: String::new(), ..figure }));
            measured.1.extend(section.notes);
        }
        Ok(measured)
    }

    /// A `backend` with these words, on any core.
    fn backend(&self, words: &[&str]) -> Result<Service, Failure> {
        let [port] = free_ports()?;
        self.lab.backend(&format!("worker on {port}"), Place::Anywhere, &Endpoint::Port(port), words, PATH)
    }

    /// The balancer before these, with further keys of its pool.
    fn balancer(&self, workers: &[Service], pool: &str) -> Result<Service, Failure> {
        let [port] = free_ports()?;
        let endpoints: Vec<Endpoint> = workers.iter().map(|worker| Endpoint::Port(worker.port)).collect();
        let text = proxies::balancer(port, &endpoints, pool, None, 20_000);
        self.lab.proxy("balancer", Make::Balancer, Place::Proxy, (&Endpoint::Port(port), PATH), text)
    }

    /// Sends a load to a port and waits for its end; one that has none is stopped after `time`.
    fn send(
        &self,
        port: u16,
        path: &'static [&'static str],
        pace: Pace,
        clients: Clients,
        time: Time,
    ) -> Result<Vec<Sent>, Failure> {
        let get = Get { address: local(port), paths: path, keep: matches!(clients, Clients::Kept(_)) };
        let load = Load::start(Sending { pace, clients, patience: time.patience }, get)?;
        if let Some(stop) = time.stop {
            self.lab.events.wait_any(&[], stop)?;
            load.stop();
        }
        load.wait(&[], &self.lab.events).map(Result::unwrap_or_default)
    }
}

/// How long a load goes on, and a request may take.
#[derive(Clone, Copy)]
struct Time {
    stop: Option<std::time::Duration>,
    patience: std::time::Duration,
}

fn all(figure: &Figure) -> Option<String> {
    Some(figure.what.clone())
}

/// A bar for each figure, those of one unit in one panel.
fn drawing(section: &Section) -> Result<Option<Drawing>, Failure> {
    let mut panels: Vec<(Unit, Panel)> = Vec::new();
    for figure in section.figures() {
        let Some(median) = figure.median() else { continue };
        let bar = Bar { name: figure.what.clone(), hue: 1 + usize::from(figure.is_missed()), parts: [median, 0.0] };
        match panels.iter_mut().find(|(unit, _)| *unit == figure.unit) {
            Some((_, panel)) => panel.bars.push(bar),
            None => panels.push((figure.unit, Panel { name: format!("{:?}", figure.unit), bars: vec![bar] })),
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let (title, subtitle) = (section.name.clone(), section.title.clone());
    let panels = panels.into_iter().map(|(_, panel)| panel).collect();
    let bars = Bars { title, subtitle, parts: ["measured", ""], panels };
    Drawing::of(&section.name, &section.title, bars.svg()).map(Some)
}
