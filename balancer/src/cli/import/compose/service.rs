//! A service of compose → the pool in front of its containers. Decides whether it speaks HTTP, and what its health check asks; called by
//! [`super`]; never compares services.

use toml::{Table, Value};

use super::port::{self, ContainerPort};
use super::yaml::YamlNode;
use crate::cli::import::command::words;
use crate::cli::import::setup::{TableKeys, plain};
use crate::config::duration;

/// What a service is to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It may be balanced over.
    App(ContainerPort),
    /// It stands where balancer will stand; where clients find it.
    Front(Vec<ContainerPort>),
    /// It speaks something else.
    Other,
    /// Nobody reaches it.
    Alone,
}

/// What a service is; `why` gets what is wrong with its ports, each with its line.
pub(super) fn role(name: &str, service: &YamlNode, why: &mut Vec<(usize, String)>) -> Role {
    let mut ports = Vec::new();
    for (key, is_published) in [("ports", true), ("expose", false)] {
        for node in service.get(key).map(YamlNode::items).unwrap_or_default() {
            match port::read(node, is_published) {
                Ok(port) => ports.push(port),
                Err(wrong) => why.push((node.line, format!("{key}: {}: {wrong}", node.text().unwrap_or("…")))),
            }
        }
    }
    let image = service.get("image").and_then(YamlNode::text).unwrap_or_default();
    let image = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
    if FRONTS.contains(&image) || name == "balancer" {
        return Role::Front(ports);
    }
    let is_other = |port: &ContainerPort| port.target.parse().is_ok_and(|number: u16| OTHER_PORTS.contains(&number));
    if OTHERS.contains(&image) || (!ports.is_empty() && ports.iter().all(is_other)) {
        return Role::Other;
    }
    // What clients reach comes before what containers reach.
    let port = ports
        .iter()
        .find(|port| port.published.is_some() && !is_other(port))
        .or(ports.iter().find(|port| !is_other(port)));
    port.map_or(Role::Alone, |port| Role::App(port.clone()))
}

/// The keys of the pool in front of the containers of a service.
pub(super) fn keys(name: &str, service: &YamlNode, port: &ContainerPort) -> TableKeys {
    let mut keys = TableKeys::default();
    match service.get("network_mode").and_then(YamlNode::text) {
        Some("host") => keys.set("endpoints", vec![format!("127.0.0.1:{}", port.target)]),
        // Each of its containers has an address of its own.
        _ => keys.set("dns", format!("{}:{}", plain(name), port.target)),
    }
    if let Some(probe) = service.get("healthcheck").and_then(probe) {
        keys.set("probe", probe);
    }
    keys
}

/// What a health check asks by curl or wget.
fn probe(check: &YamlNode) -> Option<Table> {
    if check.get("disable").and_then(YamlNode::text) == Some("true") {
        return None;
    }
    let test = check.get("test")?;
    let words = match test.text() {
        Some(line) => words(line).unwrap_or_default(),
        None => {
            test.items().iter().filter_map(YamlNode::text).flat_map(|text| words(text).unwrap_or_default()).collect()
        }
    };
    let url = words.iter().find_map(|word| word.strip_prefix("http://"))?;
    let path = url.find('/').map_or("/", |at| &url[at..]).split(['?', '#']).next().unwrap_or("/");
    let mut probe = Table::new();
    probe.insert("path".to_owned(), plain(path).into());
    for key in ["interval", "timeout"] {
        let time =
            check.get(key).and_then(YamlNode::text).filter(|text| duration(text).is_ok_and(|time| !time.is_zero()));
        probe.extend(time.map(|time| (key.to_owned(), Value::from(time))));
    }
    let fall = check.get("retries").and_then(YamlNode::text).and_then(|text| text.parse::<i64>().ok());
    probe.extend(fall.filter(|fall| (1..=1_000).contains(fall)).map(|fall| ("fall".to_owned(), fall.into())));
    Some(probe)
}

/// Programs that pass requests on, as balancer does.
const FRONTS: &[&str] = &[
    "nginx",
    "nginx-unprivileged",
    "openresty",
    "traefik",
    "haproxy",
    "caddy",
    "envoy",
    "nginx-proxy",
    "httpd",
    "balancer",
];

/// Programs without HTTP, or that no client asks.
const OTHERS: &[&str] = &[
    "postgres",
    "postgis",
    "pgvector",
    "timescaledb",
    "mysql",
    "mariadb",
    "mongo",
    "redis",
    "valkey",
    "memcached",
    "rabbitmq",
    "kafka",
    "cp-kafka",
    "zookeeper",
    "nats",
    "eclipse-mosquitto",
    "cassandra",
    "etcd",
    "pgbouncer",
    "beanstalkd",
    "dragonfly",
    "keydb",
];

/// Of the same.
const OTHER_PORTS: &[u16] = &[
    21, 22, 25, 53, 110, 143, 443, 465, 587, 1025, 1433, 1883, 3306, 4222, 5432, 5672, 6379, 9042, 9092, 11211, 27017,
];
