//! What is compared: the origin itself and the proxies in front of it.
//!
//! Decides how each is configured for a scenario, and that it answers as the origin does. Called by [`super::compare`]. Never
//! generates load.

use clap::ValueEnum;

use super::Ground;
use super::scenario::{Column, Condition, Scenario};
use crate::exchange::{self, Answer, Endpoint};
use crate::proxies::{self, Make};
use crate::{
    arguments::OriginKind, cores::Place, failure::Failure, lab::free_ports, report::Configuration, service::Service,
};

/// One column of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The first endpoint without a proxy: the base line.
    Direct,
    /// This workspace's balancer.
    Balancer,
    /// nginx as its manual advises for a reverse proxy.
    Nginx,
    /// nginx without added fields.
    NginxBare,
    /// HAProxy as its manual advises.
    Haproxy,
    /// HAProxy that moves large bodies inside the kernel (`option splice-auto`).
    HaproxySplice,
}

impl Target {
    /// The head of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Direct => "direct",
            Target::Balancer => "balancer",
            Target::Nginx => "nginx",
            Target::NginxBare => "nginx bare",
            Target::Haproxy => "haproxy",
            Target::HaproxySplice => "haproxy splice",
        }
    }

    /// `None` of what needs no program.
    pub(crate) fn make(self) -> Option<Make> {
        match self {
            Target::Direct => None,
            Target::Balancer => Some(Make::Balancer),
            Target::Nginx | Target::NginxBare => Some(Make::Nginx),
            Target::Haproxy | Target::HaproxySplice => Some(Make::Haproxy),
        }
    }

    fn configuration(self, name: &str, port: u16, endpoints: &[Endpoint], log: bool, ground: &Ground<'_>) -> String {
        let clients = ground.setting.clients;
        match self {
            Target::Haproxy | Target::HaproxySplice => {
                let splice = if self == Target::HaproxySplice { "    option splice-auto\n" } else { "" };
                let log = if log { "    log global\n    option httplog\n" } else { "" };
                let kept = "    timeout http-keep-alive 60s\n    option forwardfor\n    http-reuse always\n";
                let proto = "    http-request set-header X-Forwarded-Proto http\n";
                let parts = [&format!("{kept}{splice}{log}"), proto, "    balance roundrobin\n", ""];
                proxies::haproxy(port, endpoints, parts, clients)
            }
            Target::Nginx | Target::NginxBare => {
                let log = if log {
                    format!("{}-access.log combined", name.replace([' ', ','], "-"))
                } else {
                    "off".to_owned()
                };
                let kept = format!("        keepalive {};\n", clients.next_power_of_two().clamp(64, 8_192));
                let fields = if self == Target::NginxBare { "" } else { ADDED_FIELDS };
                let uploads = if ground.setting.scenario == Scenario::Upload { STREAMED_UPLOADS } else { "" };
                proxies::nginx(name, port, endpoints, [&log, &kept, &format!("{KEPT}{fields}{uploads}")], clients)
            }
            _ => {
                let file = ground.lab.scratch.path().join("balancer-access.log");
                proxies::balancer(port, endpoints, "", log.then_some(file.as_path()), clients)
            }
        }
    }
}

/// A target that answers; its process ends with this value.
pub(crate) struct Running {
    pub(crate) target: Target,
    /// Was it started with the access log on because a column asks for it?
    log: bool,
    pub(crate) port: u16,
    /// `None` for direct, which is the origin's.
    pub(crate) service: Option<Service>,
}

impl Running {
    /// Starts what `column` is measured on in front of `origin`, waits until it answers, and sees that it answers as the origin
    /// does.
    pub(crate) fn start(column: Column, origin: &Origin, ground: &Ground<'_>) -> Result<Running, Failure> {
        let (target, log) = (column.target, column.condition == Condition::AccessLog);
        let running = match target.make() {
            None => {
                let Endpoint::Port(port) = origin.endpoints[0] else {
                    let what = "an origin on Unix sockets cannot be loaded without a proxy";
                    return Err(Failure::Missing(what.to_owned()));
                };
                Running { target, log, port, service: None }
            }
            Some(make) => {
                let [port] = free_ports()?;
                let name =
                    Column { target, condition: if log { Condition::AccessLog } else { Condition::Plain } }.name();
                let logs = log || ground.plan.access_log;
                let text = target.configuration(&name, port, &origin.endpoints, logs, ground);
                let at = (&Endpoint::Port(port), ground.setting.path);
                let service = ground.lab.proxy(&name, make, Place::Proxy, at, text)?;
                Running { target, log, port, service: Some(service) }
            }
        };
        // As often as there are endpoints, so that each has its turn.
        for _ in &origin.endpoints {
            let what = match exchange::get(&Endpoint::Port(running.port), ground.setting.path) {
                Ok(answer) if answer == origin.answer => continue,
                Ok(answer) => format!("answers {answer} where the origin answers {}", origin.answer),
                Err(e) => format!("does not answer as it should ({e})"),
            };
            return Err(running.complaint(what));
        }
        Ok(running)
    }

    /// Is this the process `column` is measured on? Idle connections are to the process that is measured without them too.
    pub(crate) fn is_for(&self, column: Column) -> bool {
        self.target == column.target && self.log == (column.condition == Condition::AccessLog)
    }

    pub(crate) fn configuration(&self) -> Option<Configuration> {
        self.service.as_ref().map(Service::configuration)
    }

    /// A failure of this target, with its stderr.
    pub(crate) fn complaint(&self, what: String) -> Failure {
        match &self.service {
            Some(service) => service.complaint(what),
            None => Failure::Target { name: self.target.name().to_owned(), what, stderr: String::new() },
        }
    }
}

/// Who answers behind the proxies: two endpoints with a constant answer each; its processes end with this value.
pub(crate) struct Origin {
    pub(crate) endpoints: [Endpoint; 2],
    /// What both endpoints answer.
    pub(crate) answer: Answer,
    pub(crate) services: Vec<Service>,
}

impl Origin {
    /// Starts both endpoints and waits until each has answered 200, with the same body.
    pub(crate) fn start(ground: &Ground<'_>) -> Result<Origin, Failure> {
        let (lab, setting) = (ground.lab, ground.setting);
        let endpoints = if setting.sockets {
            ["1.sock", "2.sock"].map(|name| Endpoint::Socket(lab.scratch.path().join(name)))
        } else {
            free_ports()?.map(Endpoint::Port)
        };
        let services = match setting.origin {
            OriginKind::Nginx => {
                for bytes in [102_400_usize, 1_048_576] {
                    let text: String = ('0'..='9').chain('a'..='z').cycle().take(bytes).collect();
                    lab.scratch.write(&format!("bytes-{bytes}"), &text)?;
                }
                let text = proxies::nginx_origin(&endpoints, setting.clients);
                vec![lab.proxy("origin", Make::Nginx, Place::Generator, (&endpoints[0], setting.path), text)?]
            }
            OriginKind::Backend => {
                let work = setting.work_us.to_string();
                let words = if setting.work_us > 0 { vec!["--work-us", &work] } else { Vec::new() };
                // Two workers that compute need two cores, which is what a second one is for.
                let place = if setting.work_us > 0 { Place::Anywhere } else { Place::Generator };
                let start =
                    |(nth, endpoint)| lab.backend(&format!("origin {nth}"), place, endpoint, &words, setting.path);
                (1..).zip(&endpoints).map(start).collect::<Result<_, _>>()?
            }
        };
        let [first, second] = endpoints.each_ref().map(|endpoint| exchange::get(endpoint, setting.path));
        match (first, second) {
            (Ok(answer), Ok(other)) if answer == other && answer.status == 200 && !answer.body.is_empty() => {
                Ok(Origin { endpoints, answer, services })
            }
            answers => {
                let what = format!("answers {answers:?}; wanted 200 and the same body from both endpoints");
                Err(services.last().map_or_else(|| Failure::Missing(what.clone()), |last| last.complaint(what.clone())))
            }
        }
    }
}

const KEPT: &str = "            proxy_http_version 1.1;\n            proxy_set_header Connection \"\";\n";
const ADDED_FIELDS: &str = "            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
";
/// By default it takes at most 1 MB, and writes the body to a file first; the others pass it on as it comes.
const STREAMED_UPLOADS: &str = "            client_max_body_size 0;
            proxy_request_buffering off;
";
