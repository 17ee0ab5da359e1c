//! Every run in a line, for spreadsheets.
//!
//! Decides the columns; the first line names them with their units. Called by `main`. Never rounds and never sums up.

use crate::compare::Comparison;
use crate::measurement::Measurement;

/// The whole file; a figure a run does not have is empty.
pub(crate) fn csv(comparison: &Comparison) -> String {
    let rows = comparison.measurements.iter().map(|run| cells(run).join(",") + "\n");
    std::iter::once(HEAD.to_owned() + "\n").chain(rows).collect()
}

fn cells(run: &Measurement) -> Vec<String> {
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let percentile = |percent| optional(run.reading.percentile(percent));
    let cpu = |seconds: Option<f64>| optional(seconds.map(|seconds| run.per_request(seconds)));
    vec![
        run.scenario.name(),
        // Names have commas.
        format!("\"{}\"", run.column.name()),
        run.round.to_string(),
        run.tool.to_owned(),
        run.reading.requests.to_string(),
        run.reading.failed.to_string(),
        run.reading.requests_per_second.to_string(),
        percentile(50.0),
        percentile(90.0),
        percentile(99.0),
        percentile(99.9),
        percentile(100.0),
        cpu(run.proxy_cpu.map(|cpu| cpu.user_seconds)),
        cpu(run.proxy_cpu.map(|cpu| cpu.system_seconds)),
        optional(run.context_switches.map(|count| count as f64 / run.reading.requests.max(1) as f64)),
        optional(run.rss_bytes.map(|bytes| bytes as f64)),
        run.idle_connections.to_string(),
        optional(run.bytes_per_idle_connection),
        cpu(Some(run.origin_cpu.seconds())),
        cpu(Some(run.generator_cpu.seconds())),
        optional(run.proxy_core_busy),
        run.generator_core_busy.to_string(),
        optional(run.core_taken),
        run.wall_seconds.to_string(),
    ]
}

const HEAD: &str = "scenario,column,round,tool,requests,failed,requests_per_second,p50_ms,p90_ms,p99_ms,p99_9_ms,max_ms,\
                    proxy_user_us,proxy_kernel_us,context_switches,rss_bytes,idle_connections,\
                    bytes_per_idle_connection,origin_us,generator_us,proxy_core_busy,generator_core_busy,core_taken,\
                    wall_seconds";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{comparison, run};
    use crate::target::Target;

    #[test]
    fn every_run_has_a_cell_for_every_name() {
        let text = csv(&comparison(vec![run(Target::Direct, 1), run(Target::Nginx, 2)]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let names = lines[0].split(',').count();
        assert!(lines.iter().all(|line| line.split(',').count() == names), "{text}");
        assert!(lines[1].starts_with("connection,\"direct\",1,ab,100000,0,10000,3,,8,,,,,,"), "{text}");
        assert!(lines[2].starts_with("connection,\"nginx\",2,ab,100000,0,10000,3,,8,,,10,30,0.5,"), "{text}");
    }
}
