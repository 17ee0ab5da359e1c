//! Metrics in the text format of Prometheus (exposition format 0.0.4).

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::process::Process;
use super::status::{STATES, seconds, state_name};
use super::{Instance, Served};
use crate::endpoint::Endpoint;
use crate::observe::{BOUNDS, Destination, Times, Totals, Word};
use crate::pool::Pool;

/// The media type.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything at this moment.
pub(super) fn text(instance: &Instance) -> String {
    let (mut out, served, totals) = (Text::default(), instance.served.load(), instance.metrics.totals());
    let totals: Vec<(&str, &Totals)> =
        totals.iter().map(|(pool, totals)| (pool.as_deref().unwrap_or_default(), totals)).collect();
    out.requests(&totals);
    out.endpoints(&served);
    out.queues(&served);
    out.workers(&served);
    out.ours(instance);
    out.0
}

#[derive(Debug, Default)]
struct Text(String);

type Labels<'a> = &'a [(&'a str, &'a str)];
/// Of all endpoints of one name.
type Figure = fn(&[Arc<Endpoint>]) -> f64;

impl Text {
    fn requests(&mut self, totals: &[(&str, &Totals)]) {
        self.family(
            "requests_total",
            "counter",
            "Requests by the status that the client got; 499: the client left before.",
        );
        for (pool, totals) in totals {
            for ((method, code), count) in &totals.answers {
                let labels = [("pool", *pool), ("method", *method), ("code", &code.to_string())];
                self.sample("requests_total", &labels, *count as f64);
            }
        }
        let help = "From the first byte of a request to the last of its answer.";
        self.histogram("request_seconds", help, totals, |totals| &totals.request);
        let help = "From a request's place at an endpoint to the last byte of its answer.";
        self.histogram("upstream_seconds", help, totals, |totals| &totals.upstream);
        let help = "Waits for a slot, of requests that had to wait.";
        self.histogram("queue_seconds", help, totals, |totals| &totals.queue);
        for (word, help) in [
            (Word::Rejected, "Requests answered by balancer itself, by reason."),
            (Word::Broken, "Answers that began and were not finished, by reason."),
            (Word::Retried, "Attempts that failed and were followed by another, by reason."),
        ] {
            self.family(word.metric(), "counter", help);
            for (pool, totals) in totals {
                for ((_, reason), count) in totals.words.iter().filter(|((known, _), _)| *known == word) {
                    self.sample(word.metric(), &[("pool", *pool), ("reason", *reason)], *count as f64);
                }
            }
        }
    }

    fn endpoints(&mut self, served: &Served) {
        let figures: [(&str, &str, &str, Figure); 3] = [
            ("endpoint_up", "gauge", "1: the endpoint takes requests and is neither down nor ejected.", |all| {
                f64::from(u8::from(all.iter().any(|one| one.accepts() && !one.is_out())))
            }),
            ("in_flight", "gauge", "Requests at an endpoint.", |all| sum(all, |one| one.in_flight() as f64)),
            ("endpoint_requests_total", "counter", "Requests an endpoint was given.", |all| {
                sum(all, |one| one.claims() as f64)
            }),
        ];
        let all: Vec<_> = served.pools.iter().flat_map(|served| by_name(&served.pool)).collect();
        self.family("upstream_connections", "gauge", "Connections to an endpoint, with a request and without.");
        for Named { pool, name, endpoints } in &all {
            let (mut active, mut idle) = (0, 0);
            for endpoint in endpoints {
                let (open, in_flight) = (endpoint.connections(), endpoint.in_flight());
                active += open.min(in_flight);
                idle += open.saturating_sub(in_flight);
            }
            for (state, count) in [("active", active), ("idle", idle)] {
                let labels: Labels<'_> = &[("pool", pool), ("endpoint", name), ("state", state)];
                self.sample("upstream_connections", labels, count as f64);
            }
        }
        for (name, kind, help, figure) in figures {
            self.family(name, kind, help);
            for Named { pool, name: endpoint, endpoints } in &all {
                self.sample(name, &[("pool", pool), ("endpoint", endpoint)], figure(endpoints));
            }
        }
    }

    fn queues(&mut self, served: &Served) {
        let with_slots = served.pools.iter().filter_map(|served| Some((served.pool.name(), served.pool.figures()?)));
        let all: Vec<_> = with_slots.collect();
        self.family("slots", "gauge", "Requests that the endpoints take at once.");
        all.iter().for_each(|(pool, figures)| self.sample("slots", &[("pool", pool)], figures.slots as f64));
        self.family("slots_used", "gauge", "Slots in use.");
        all.iter().for_each(|(pool, figures)| self.sample("slots_used", &[("pool", pool)], figures.slots_used as f64));
        self.family("queue_length", "gauge", "Requests that wait for a slot.");
        all.iter().for_each(|(pool, figures)| self.sample("queue_length", &[("pool", pool)], figures.queued as f64));
    }

    fn workers(&mut self, served: &Served) {
        let supervised =
            served.pools.iter().filter_map(|served| Some((served.pool.name(), served.supervisor.as_ref()?)));
        let all: Vec<_> = supervised.map(|(pool, supervisor)| (pool, supervisor.status())).collect();
        let each = || all.iter().flat_map(|(pool, status)| status.workers.iter().map(move |worker| (&***pool, worker)));
        // While a worker is being replaced two have its name; the one that is there longer stands first.
        let mut names = std::collections::HashSet::new();
        let each: Vec<_> = each().filter(|(_, worker)| names.insert(worker.name.clone())).collect();
        self.family("worker_state", "gauge", "1 for the state a worker is in.");
        for (pool, worker) in &each {
            for state in STATES {
                let labels = [("pool", *pool), ("worker", &*worker.name), ("state", state_name(state))];
                self.sample("worker_state", &labels, f64::from(u8::from(state == worker.state)));
            }
        }
        self.family("worker_restarts_total", "counter", "Times a worker was started again or replaced, by reason.");
        for (pool, worker) in &each {
            for (why, count) in &worker.restart_reasons {
                let labels = [("pool", *pool), ("worker", &*worker.name), ("reason", why.as_str())];
                self.sample("worker_restarts_total", &labels, *count as f64);
            }
        }
        self.family("worker_rss_bytes", "gauge", "Resident memory of a worker's process group.");
        for (pool, worker) in &each {
            let labels = [("pool", *pool), ("worker", &*worker.name)];
            self.sample("worker_rss_bytes", &labels, worker.usage.rss_bytes as f64);
        }
        self.family("worker_cpu_seconds_total", "counter", "CPU time of a worker's process group.");
        for (pool, worker) in &each {
            let labels = [("pool", *pool), ("worker", &*worker.name)];
            self.sample("worker_cpu_seconds_total", &labels, worker.usage.cpu_seconds);
        }
    }

    fn ours(&mut self, instance: &Instance) {
        let (done, failed, last_ok) = instance.reloads();
        self.family("connections", "gauge", "Client connections; idle: without a request for half a second.");
        let idle = instance.control.connections_idle();
        let active = instance.control.connections().saturating_sub(idle);
        self.sample("connections", &[("state", "active")], active as f64);
        self.sample("connections", &[("state", "idle")], idle as f64);
        self.family("connections_max", "gauge", "Limit of client connections.");
        self.sample("connections_max", &[], instance.control.connections_max() as f64);
        self.family("log_lines_lost_total", "counter", "Lines of logs that could not be written, by log.");
        for (log, destination) in
            [("access_log", Destination::File), ("stdout", Destination::Stdout), ("stderr", Destination::Stderr)]
        {
            self.sample("log_lines_lost_total", &[("log", log)], instance.writer.lost(destination) as f64);
        }
        self.family("config_reloads_total", "counter", "Reloads.");
        self.sample("config_reloads_total", &[("result", "done")], done as f64);
        self.sample("config_reloads_total", &[("result", "failed")], failed as f64);
        self.family("config_last_reload_success", "gauge", "1: the last reload was done.");
        self.sample("config_last_reload_success", &[], f64::from(u8::from(last_ok)));
        self.family("build_info", "gauge", "1, with the version.");
        self.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let process = Process::now();
        let started = instance.started.duration_since(UNIX_EPOCH).map_or(0.0, seconds);
        for (name, kind, value) in [
            ("cpu_seconds_total", "counter", process.cpu_seconds),
            ("resident_memory_bytes", "gauge", process.resident_bytes as f64),
            ("virtual_memory_bytes", "gauge", process.virtual_bytes as f64),
            ("open_fds", "gauge", process.open_fds as f64),
            ("max_fds", "gauge", process.max_fds as f64),
            ("threads", "gauge", process.threads as f64),
            ("start_time_seconds", "gauge", started),
        ] {
            // The names that every client library of Prometheus uses.
            let _ = writeln!(self.0, "# TYPE process_{name} {kind}\nprocess_{name} {value}");
        }
    }

    fn histogram(&mut self, name: &str, help: &str, totals: &[(&str, &Totals)], of: fn(&Totals) -> &Times) {
        self.family(name, "histogram", help);
        for (pool, totals) in totals.iter().filter(|(_, totals)| of(totals).count() > 0) {
            let (times, mut below) = (of(totals), 0);
            let bucket = format!("{name}_bucket");
            for (bound, count) in BOUNDS.iter().zip(&times.buckets) {
                below += count;
                let bound = (*bound as f64 / 1e6).to_string();
                self.sample(&bucket, &[("pool", *pool), ("le", &bound)], below as f64);
            }
            self.sample(&bucket, &[("pool", *pool), ("le", "+Inf")], times.count() as f64);
            self.sample(&format!("{name}_sum"), &[("pool", *pool)], times.sum);
            self.sample(&format!("{name}_count"), &[("pool", *pool)], times.count() as f64);
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to memory does not fail, here and below.
        let _ = writeln!(self.0, "# HELP balancer_{name} {help}\n# TYPE balancer_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let _ = write!(self.0, "balancer_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// While a worker is being replaced two endpoints have its name, and a series may have one sample.
struct Named<'a> {
    pool: &'a str,
    name: Arc<str>,
    /// At least one.
    endpoints: Vec<Arc<Endpoint>>,
}

/// A pool's endpoints, those of one name together.
fn by_name(pool: &Pool) -> Vec<Named<'_>> {
    let mut all: Vec<Named<'_>> = Vec::new();
    let mut places = HashMap::new();
    for endpoint in pool.endpoints() {
        let name = Arc::clone(endpoint.name());
        let place = *places.entry(Arc::clone(&name)).or_insert(all.len());
        match all.get_mut(place) {
            Some(known) => known.endpoints.push(endpoint),
            None => all.push(Named { pool: pool.name(), name, endpoints: vec![endpoint] }),
        }
    }
    all
}

fn sum(all: &[Arc<Endpoint>], of: fn(&Endpoint) -> f64) -> f64 {
    all.iter().map(|one| of(one)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_upwards_and_labels_are_escaped() {
        let mut totals = Totals::default();
        (totals.request.buckets[0], totals.request.buckets[2], totals.request.sum) = (2, 1, 0.004);
        let mut text = Text::default();
        text.histogram("request_seconds", "h", &[("a\"b\\\n", &totals)], |totals| &totals.request);
        let lines: Vec<&str> = text.0.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "# HELP balancer_request_seconds h",
                "# TYPE balancer_request_seconds histogram",
                r#"balancer_request_seconds_bucket{pool="a\"b\\\n",le="0.0005"} 2"#,
            ]
        );
        assert!(lines[4].ends_with(r#"le="0.0025"} 3"#), "{}", lines[4]);
        assert_eq!(lines[lines.len() - 3].rsplit(' ').next(), Some("3"));
        assert!(lines[lines.len() - 2].ends_with(" 0.004") && lines[lines.len() - 1].ends_with(" 3"));
    }
}
