//! The balancers in front of workers that serve one connection at a time.
//!
//! Decides how each is configured for such workers, as its manual advises. Called by [`super::site`]. Never starts one.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// One row of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// This workspace's balancer, `slots = 1`, with the slow lane
    Balancer,
    /// The same without the slow lane: one plain queue
    BalancerQueue,
    /// The same without slots, `least_connections`
    BalancerUnslotted,
    /// nginx, round robin
    Nginx,
    /// nginx, `least_conn`
    NginxLeastConn,
    /// HAProxy, `leastconn`, `maxconn 1` for each worker and its queue
    Haproxy,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contender::Balancer => "balancer, slow lane",
            Contender::BalancerQueue => "balancer, one queue",
            Contender::BalancerUnslotted => "balancer, no slots",
            Contender::Nginx => "nginx, round robin",
            Contender::NginxLeastConn => "nginx, least_conn",
            Contender::Haproxy => "HAProxy, maxconn 1",
        }
    }

    /// Place in the pictures' palette.
    pub(crate) fn hue(self) -> usize {
        match self {
            Contender::Balancer => 1,
            Contender::BalancerQueue => 6,
            Contender::BalancerUnslotted => 5,
            Contender::Nginx => 2,
            Contender::NginxLeastConn => 4,
            Contender::Haproxy => 3,
        }
    }

    /// The program it needs, as Debian calls it.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Contender::Nginx | Contender::NginxLeastConn => "nginx",
            Contender::Haproxy => "haproxy",
            _ => "balancer",
        }
    }

    /// The text of its configuration. `clients`: connections at once. `wait`: how long a request may queue.
    pub(super) fn configuration(self, port: u16, workers: &[u16], clients: u32, wait: Duration) -> String {
        match self {
            Contender::Balancer => balancer(port, workers, &slots(wait, true)),
            Contender::BalancerQueue => balancer(port, workers, &slots(wait, false)),
            Contender::BalancerUnslotted => balancer(port, workers, "policy = \"least_connections\"\n"),
            Contender::Nginx => nginx(port, workers, clients, ""),
            Contender::NginxLeastConn => nginx(port, workers, clients, "        least_conn;\n"),
            Contender::Haproxy => haproxy(port, workers, clients, wait),
        }
    }
}

fn slots(wait: Duration, slow_lane: bool) -> String {
    format!("slots = 1\nqueue_timeout = \"{}ms\"\nslow_lane = {slow_lane}\n", wait.as_millis())
}

fn balancer(port: u16, workers: &[u16], keys: &str) -> String {
    let workers: Vec<String> = workers.iter().map(|worker| format!("\"127.0.0.1:{worker}\"")).collect();
    let workers = workers.join(", ");
    format!(
        "listen = \"127.0.0.1:{port}\"\nthreads = 1\n\n[access_log]\nformat = \"off\"\n\n\
         [pool.app]\nendpoints = [{workers}]\n{keys}"
    )
}

fn nginx(port: u16, workers: &[u16], clients: u32, policy: &str) -> String {
    let servers: String = workers.iter().map(|worker| format!("        server 127.0.0.1:{worker};\n")).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path temp;\n"))
        .collect();
    let room = clients.saturating_mul(2).saturating_add(512);
    format!(
        "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections {room}; }}\nhttp {{\n    access_log off;\n{temporary}    \
         upstream app {{\n{policy}{servers}    }}\n    \
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; }} }}\n}}\n"
    )
}

fn haproxy(port: u16, workers: &[u16], clients: u32, wait: Duration) -> String {
    let servers: String = workers
        .iter()
        .enumerate()
        .map(|(nth, worker)| format!("    server worker{nth} 127.0.0.1:{worker} maxconn 1\n"))
        .collect();
    let maxconn = clients + 512;
    format!(
        "global\n    nbthread 1\n    maxconn {maxconn}\n    no strict-limits\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n    \
         timeout queue {}ms\n\
         frontend clients\n    bind 127.0.0.1:{port}\n    maxconn {maxconn}\n    default_backend app\n\
         backend app\n    balance leastconn\n{servers}",
        wait.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_all_workers_and_its_own_rule() {
        for (contender, rule) in [
            (Contender::Balancer, "slots = 1\nqueue_timeout = \"2000ms\"\nslow_lane = true\n"),
            (Contender::BalancerQueue, "slow_lane = false\n"),
            (Contender::BalancerUnslotted, "policy = \"least_connections\"\n"),
            (Contender::Nginx, "upstream app {\n        server"),
            (Contender::NginxLeastConn, "upstream app {\n        least_conn;\n"),
            (Contender::Haproxy, "timeout queue 2000ms\n"),
        ] {
            let text = contender.configuration(1, &[2, 3, 4, 5], 100, Duration::from_secs(2));
            assert!(text.contains(rule), "{text}");
            (2..=5).for_each(|port| assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}"));
        }
        assert_eq!(haproxy(1, &[2, 3], 9, Duration::ZERO).matches(" maxconn 1\n").count(), 2);
    }
}
