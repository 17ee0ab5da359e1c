//! Metrics for Prometheus: what there is at this moment, family by family.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;

use super::exposition::{Labels, Text};
use super::process::OwnProcess;
use super::status::{STATES, seconds, state_name};
use super::{Instance, Served, certificates, view};
use crate::endpoint::Endpoint;
use crate::observe::{Destination, EndpointKey, EndpointTotals, Lasting, OF_ENDPOINTS, Times, Totals, Word};
use crate::pool::Pool;
use crate::supervise::WorkerStatus;

/// The media type.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything at this moment.
pub(super) fn text(instance: &Instance) -> String {
    let (mut out, served, totals) = (Text::default(), instance.served.load(), instance.metrics.totals());
    let totals: Vec<(&str, &Totals)> =
        totals.iter().map(|(pool, totals)| (pool.as_deref().unwrap_or_default(), totals)).collect();
    out.requests(&totals);
    out.endpoints(&served);
    out.by_endpoint(&instance.metrics.endpoints());
    out.queues(&served);
    out.workers(&served);
    out.certificates(&certificates::views(instance, Timestamp::now()));
    out.ours(instance);
    out.0
}

/// Of all endpoints of one name.
type Figure = fn(&[Arc<Endpoint>]) -> f64;
type FigureOfWorkers = fn(&[&WorkerStatus]) -> f64;

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
        let help =
            "From the first byte of a request to the last of its answer; not of refusals, tunnels, event streams.";
        self.histogram("request_seconds", help, totals, |totals| &totals.request);
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
        let figures: [(&str, &str, Figure); 2] = [
            ("endpoint_up", "1: the endpoint takes requests and is neither down nor ejected.", |all| {
                f64::from(u8::from(all.iter().any(|one| one.accepts() && !one.is_out())))
            }),
            ("in_flight", "Requests at an endpoint.", |all| sum(all, |one| one.in_flight() as f64)),
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
        for (name, help, figure) in figures {
            self.family(name, "gauge", help);
            for Named { pool, name: endpoint, endpoints } in &all {
                self.sample(name, &[("pool", pool), ("endpoint", endpoint)], figure(endpoints));
            }
        }
    }

    /// What is counted by name, and goes on when a worker is replaced.
    fn by_endpoint(&mut self, all: &BTreeMap<EndpointKey, EndpointTotals>) {
        self.family("endpoint_requests_total", "counter", "Requests an endpoint was given.");
        for ((pool, endpoint), totals) in all {
            let labels = [("pool", &**pool), ("endpoint", &**endpoint)];
            self.sample("endpoint_requests_total", &labels, totals.requests as f64);
        }
        self.family("endpoint_errors_total", "counter", "Requests that failed at an endpoint, by reason.");
        for ((pool, endpoint), totals) in all {
            for (reason, count) in OF_ENDPOINTS.iter().zip(totals.errors).filter(|(_, count)| *count > 0) {
                let labels = [("pool", &**pool), ("endpoint", &**endpoint), ("reason", *reason)];
                self.sample("endpoint_errors_total", &labels, count as f64);
            }
        }
        self.family(
            "upstream_seconds",
            "histogram",
            "From a request's place at an endpoint to the last byte of its answer.",
        );
        for ((pool, endpoint), totals) in all.iter().filter(|(_, totals)| totals.seconds.count() > 0) {
            self.times("upstream_seconds", &[("pool", &**pool), ("endpoint", &**endpoint)], &totals.seconds);
        }
        self.family("streams", "gauge", "Tunnels and event streams that are open.");
        self.streams("streams", all, |totals, kind| totals.open(kind));
        self.family("streams_opened_total", "counter", "Tunnels and event streams that were opened.");
        self.streams("streams_opened_total", all, |totals, kind| totals.opened(kind));
    }

    fn streams(
        &mut self,
        name: &str,
        all: &BTreeMap<EndpointKey, EndpointTotals>,
        of: fn(&EndpointTotals, Lasting) -> u64,
    ) {
        let opened = |totals: &EndpointTotals| Lasting::ALL.into_iter().any(|kind| totals.opened(kind) > 0);
        for ((pool, endpoint), totals) in all.iter().filter(|(_, totals)| opened(totals)) {
            for kind in Lasting::ALL {
                let labels = [("pool", &**pool), ("endpoint", &**endpoint), ("kind", kind.as_str())];
                self.sample(name, &labels, of(totals, kind) as f64);
            }
        }
    }

    fn queues(&mut self, served: &Served) {
        self.family("pool_ready", "gauge", "1: the pool has an endpoint that takes requests.");
        for one in &served.pools {
            let workers = one.supervisor.as_ref().map(|supervisor| supervisor.status());
            let is_ready = view::is_ready(one, workers.as_ref());
            self.sample("pool_ready", &[("pool", one.pool.name())], f64::from(u8::from(is_ready)));
        }
        let with_slots = served.pools.iter().filter_map(|served| Some((served.pool.name(), served.pool.figures()?)));
        let all: Vec<_> = with_slots.collect();
        self.family("slots", "gauge", "Requests that the endpoints take at once.");
        all.iter().for_each(|(pool, figures)| self.sample("slots", &[("pool", pool)], figures.slots as f64));
        self.family("slots_used", "gauge", "Slots in use.");
        all.iter().for_each(|(pool, figures)| self.sample("slots_used", &[("pool", pool)], figures.slots_used as f64));
        self.family("queue_length", "gauge", "Requests that wait for a slot.");
        all.iter().for_each(|(pool, figures)| self.sample("queue_length", &[("pool", pool)], figures.queued as f64));
        self.family("queue_max", "gauge", "Requests that may wait for a slot.");
        all.iter().for_each(|(pool, figures)| self.sample("queue_max", &[("pool", pool)], figures.queue_max as f64));
    }

    fn workers(&mut self, served: &Served) {
        let supervised =
            served.pools.iter().filter_map(|served| Some((served.pool.name(), served.supervisor.as_ref()?)));
        let all: Vec<_> = supervised.map(|(pool, supervisor)| (pool, supervisor.status())).collect();
        // While a worker is being replaced two have its name; the one that is there longer stands first.
        let mut each: Vec<(&str, Vec<&WorkerStatus>)> = Vec::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        for (pool, worker) in
            all.iter().flat_map(|(pool, status)| status.workers.iter().map(move |worker| (&***pool, worker)))
        {
            let place = *places.entry((pool, &*worker.name)).or_insert(each.len());
            match each.get_mut(place) {
                Some((_, same)) => same.push(worker),
                None => each.push((pool, vec![worker])),
            }
        }
        self.family("worker_state", "gauge", "1 for the state a worker is in.");
        for (pool, same) in &each {
            for (worker, state) in STATES.into_iter().filter_map(|state| Some((*same.first()?, state))) {
                let labels = [("pool", *pool), ("worker", &*worker.name), ("state", state_name(state))];
                self.sample("worker_state", &labels, f64::from(u8::from(state == worker.state)));
            }
        }
        self.family("worker_restarts_total", "counter", "Times a worker was started again or replaced, by reason.");
        for (pool, same) in &each {
            let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
            for (why, count) in same.iter().flat_map(|worker| &worker.restart_reasons) {
                let known = reasons.entry(why.as_str()).or_default();
                *known = (*count).max(*known);
            }
            for (why, count) in reasons {
                let name = same.first().map_or("", |worker| &*worker.name);
                let labels = [("pool", *pool), ("worker", name), ("reason", why)];
                self.sample("worker_restarts_total", &labels, count as f64);
            }
        }
        let figures: [(&str, &str, &str, FigureOfWorkers); 2] = [
            ("worker_rss_bytes", "gauge", "Resident memory of a worker's process group.", |same| {
                same.first().map_or(0.0, |worker| worker.usage.rss_bytes as f64)
            }),
            ("worker_cpu_seconds_total", "counter", "CPU time of a worker's process group.", |same| {
                same.iter().map(|worker| worker.usage.cpu_seconds + worker.usage.cpu_seconds_before).sum()
            }),
        ];
        for (name, kind, help, of) in figures {
            self.family(name, kind, help);
            for (pool, same) in &each {
                let worker = same.first().map_or("", |worker| &*worker.name);
                self.sample(name, &[("pool", *pool), ("worker", worker)], of(same));
            }
        }
    }

    fn histogram(&mut self, name: &str, help: &str, totals: &[(&str, &Totals)], of: fn(&Totals) -> &Times) {
        self.family(name, "histogram", help);
        for (pool, totals) in totals.iter().filter(|(_, totals)| of(totals).count() > 0) {
            self.times(name, &[("pool", *pool)], of(totals));
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
        let process = OwnProcess::now();
        let started = instance.started.duration_since(UNIX_EPOCH).map_or(0.0, seconds);
        for (name, kind, help, value) in [
            ("cpu_seconds_total", "counter", "CPU time.", process.cpu_seconds),
            ("resident_memory_bytes", "gauge", "Resident memory.", process.resident_bytes as f64),
            ("virtual_memory_bytes", "gauge", "Virtual memory.", process.virtual_bytes as f64),
            ("open_fds", "gauge", "Open file descriptors.", process.open_fds as f64),
            ("max_fds", "gauge", "Limit of file descriptors.", process.max_fds as f64),
            ("threads", "gauge", "Threads.", process.threads as f64),
            ("start_time_seconds", "gauge", "Start, in seconds since 1970.", started),
        ] {
            // The names that every client library of Prometheus uses.
            let _ =
                writeln!(self.0, "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}");
        }
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
