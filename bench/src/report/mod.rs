//! The result as text.
//!
//! Decides which rows there are, how rounds and ratios are summed up, and what the reader must be warned of. Called by
//! `main`. Never measures and never prints.

mod warnings;

use crate::compare::{Comparison, Load};
use crate::cpu::Cpu;
use crate::measurement::Measurement;
use crate::statistics::{Spread, percent, ratio, three_digits, whole};
use crate::table::Table;
use crate::target::Target;

/// Head, a table and its warnings per generator, configurations.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut text = head(comparison);
    for load in &comparison.tools {
        let runs = Runs { comparison, tool: load.tool };
        text += &format!("\n{} — {}\n\n", load.command, load.manner);
        text += &runs.table(load).render();
        let warnings = warnings::of(&runs);
        if !warnings.is_empty() {
            text.push('\n');
        }
        warnings.iter().for_each(|warning| text += &format!("{warning}\n"));
    }
    text + &configurations(comparison)
}

/// The runs of one generator.
struct Runs<'a> {
    comparison: &'a Comparison,
    tool: &'static str,
}

impl<'a> Runs<'a> {
    fn of(&self, target: Target) -> impl Iterator<Item = &'a Measurement> {
        let tool = self.tool;
        self.comparison.measurements.iter().filter(move |run| run.tool == tool && run.target == target)
    }

    fn table(&self, load: &Load) -> Table {
        let targets = &self.comparison.targets;
        let mut table = Table::default();
        table.row(format!("{} latency, ms", load.tool), targets.iter().map(|target| target.name().to_owned()));
        let percentiles = self.comparison.measurements.iter().find(|run| run.tool == self.tool);
        for (nth, percentile) in percentiles.iter().flat_map(|run| run.reading.percentiles.iter().enumerate()) {
            self.row(&mut table, &format!("{:>3} %", percentile.percent), three_digits, |run| {
                run.reading.percentiles.get(nth).map(|percentile| percentile.milliseconds)
            });
        }
        table.gap();
        self.row(&mut table, "requests/s", whole, |run| Some(run.reading.requests_per_second));
        let part = |cpu: fn(Cpu) -> f64| move |run: &Measurement| Some(run.per_request(cpu(run.proxy_cpu?)));
        self.row(&mut table, "proxy, CPU µs/request", three_digits, part(Cpu::seconds));
        self.row(&mut table, "  user", three_digits, part(|cpu| cpu.user_seconds));
        self.row(&mut table, "  system", three_digits, part(|cpu| cpu.system_seconds));
        let origin = |run: &Measurement| Some(run.per_request(run.origin_cpu.seconds()));
        self.row(&mut table, "origin, CPU µs/request", three_digits, origin);
        let generator = |run: &Measurement| Some(run.per_request(run.generator_cpu.seconds()));
        self.row(&mut table, "generator, CPU µs/request", three_digits, generator);
        self.row(&mut table, "generator's core busy", percent, |run| Some(run.generator_core_busy));
        self.row(&mut table, "failed requests", whole, |run| Some(run.reading.failed as f64));
        table.gap();
        let rate = |run: &Measurement| Some(run.reading.requests_per_second);
        self.ratio_row(&mut table, "requests/s, direct = 1", Target::Direct, rate);
        self.ratio_row(&mut table, "requests/s, nginx = 1", Target::Nginx, rate);
        self.ratio_row(&mut table, "proxy CPU, nginx = 1", Target::Nginx, part(Cpu::seconds));
        table
    }

    fn row(
        &self,
        table: &mut Table,
        label: &str,
        number: fn(f64) -> String,
        value: impl Fn(&Measurement) -> Option<f64>,
    ) {
        let cell = |target: &Target| Spread::of(self.of(*target).filter_map(&value));
        let cells = self.comparison.targets.iter().map(cell);
        table.row(label, cells.map(|spread| spread.map_or_else(|| "–".to_owned(), |spread| spread.text(number))));
    }

    /// Each round's own ratio, for the two runs of one round were neighbours; then the median of these.
    fn ratio_row(&self, table: &mut Table, label: &str, base: Target, value: impl Fn(&Measurement) -> Option<f64>) {
        if !self.comparison.targets.contains(&base) {
            return;
        }
        self.row(table, label, ratio, |run| {
            let same_round = self.of(base).find(|other| other.round == run.round)?;
            let base = value(same_round).filter(|base| *base > 0.0)?;
            Some(value(run)? / base)
        });
    }
}

fn head(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let mut text = format!("{}, {} usable cores, Linux {}\n", machine.cpu, machine.cores, machine.kernel);
    machine.versions.iter().for_each(|version| text += &format!("{version}\n"));
    text += &format!("cores:  {}\n", comparison.placement);
    text += &format!("origin: {}\n", comparison.origin);
    text += &match comparison.rounds {
        1 => "one round: no spread\n".to_owned(),
        rounds => format!("{rounds} alternating rounds: median (min–max); a ratio is taken within its round\n"),
    };
    comparison.notes.iter().for_each(|note| text += &format!("{note}\n"));
    text
}

fn configurations(comparison: &Comparison) -> String {
    let mut text = "\nStarted with\n".to_owned();
    for configuration in &comparison.configurations {
        text += &format!("\n{}: {}\n", configuration.name, configuration.command);
        configuration.text.lines().for_each(|line| text += &format!("{}\n", format!("  {line}").trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::target::Configuration;
    use crate::tool::{Percentile, Reading};

    /// 1,000 requests; proxies take 40 µs CPU each.
    pub(super) fn run(target: Target, round: u32) -> Measurement {
        let percentiles =
            vec![Percentile { percent: 50, milliseconds: 3.0 }, Percentile { percent: 99, milliseconds: 8.0 }];
        let reading = Reading { requests: 100_000, requests_per_second: 10_000.0, failed: 0, percentiles };
        let cpu = |user_seconds, system_seconds| Cpu { user_seconds, system_seconds };
        Measurement {
            tool: "ab",
            target,
            round,
            command: String::new(),
            reading,
            wall_seconds: 10.0,
            proxy_cpu: (target != Target::Direct).then(|| cpu(1.0, 3.0)),
            origin_cpu: cpu(0.5, 0.5),
            generator_cpu: cpu(1.0, 1.0),
            generator_core_busy: 0.3,
            core_taken: Some(0.0),
        }
    }

    pub(super) fn comparison(measurements: Vec<Measurement>) -> Comparison {
        let machine = Machine { cpu: "CPU".into(), cores: 2, kernel: "6".into(), versions: vec!["ab: 2.3".into()] };
        let command = "ab -n 100000 -c 100 URL".to_owned();
        let configuration =
            Configuration { name: "nginx".into(), command: "nginx -c x".into(), text: "a;\nb;\n".into() };
        Comparison {
            machine,
            placement: "placed".into(),
            origin: "nginx".into(),
            notes: vec!["no nginx column".into()],
            rounds: measurements.iter().map(|run| run.round).max().unwrap_or(0),
            targets: vec![Target::Direct, Target::Nginx],
            tools: vec![Load { tool: "ab", manner: "a connection per request", command }],
            configurations: vec![configuration],
            measurements,
        }
    }

    #[test]
    fn the_result_is_a_table_side_by_side_between_its_conditions() {
        let text = render(&comparison(vec![run(Target::Direct, 1), run(Target::Nginx, 1)]));
        let expected = "\
CPU, 2 usable cores, Linux 6
ab: 2.3
cores:  placed
origin: nginx
one round: no spread
no nginx column

ab -n 100000 -c 100 URL — a connection per request

ab latency, ms              direct    nginx
 50 %                         3.00     3.00
 99 %                         8.00     8.00

requests/s                  10,000   10,000
proxy, CPU µs/request            –     40.0
  user                           –     10.0
  system                         –     30.0
origin, CPU µs/request        10.0     10.0
generator, CPU µs/request     20.0     20.0
generator's core busy         30 %     30 %
failed requests                  0        0

requests/s, direct = 1        1.00     1.00
requests/s, nginx = 1         1.00     1.00
proxy CPU, nginx = 1             –     1.00

Started with

nginx: nginx -c x
  a;
  b;
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let rated = |target, round, requests_per_second| {
            let mut run = run(target, round);
            run.reading.requests_per_second = requests_per_second;
            run
        };
        // The second minute was twice as noisy for both: no difference between them.
        let runs = [(1, 1000.0), (2, 500.0), (3, 800.0)];
        let runs = runs
            .into_iter()
            .flat_map(|(round, rate)| [rated(Target::Direct, round, rate), rated(Target::Nginx, round, rate / 2.0)]);
        let text = render(&comparison(runs.collect()));
        assert!(text.contains("3 alternating rounds: median (min–max)"));
        let row = |label: &str| text.lines().find(|line| line.starts_with(label)).unwrap().to_owned();
        assert!(row("requests/s, direct = 1").ends_with(" 0.50"));
        assert!(row("requests/s  ").ends_with("   800 (500–1,000)   400 (250–500)"), "{}", row("requests/s  "));
    }
}
