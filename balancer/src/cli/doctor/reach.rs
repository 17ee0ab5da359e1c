//! Who can reach endpoints and the admin service past balancer.
//!
//! Decides which addresses are open to whom. Called by [`super`]. Looks at the kernel's table of listeners, and asks nobody.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::finding::{Finding, fine, note, warning};
use crate::config::{Address, Config, Host};
use crate::supervise::Holders;

/// One finding for those of this machine, one for others, one for the admin service.
pub(super) fn findings(config: Option<&Config>, status: Option<&Value>) -> Vec<Finding> {
    let Some(config) = config else { return Vec::new() };
    let mut local: Vec<(String, SocketAddr)> = status.map(of_workers).unwrap_or_default();
    let (mut remote, mut remote_count) = (Vec::new(), 0);
    for endpoint in config.pools.iter().flat_map(|pool| &pool.endpoints) {
        match &endpoint.address {
            Address::Tcp { host: Host::Ip(ip), port } if ip.is_loopback() => {
                let address = SocketAddr::new(*ip, *port);
                local.push((address.to_string(), address));
            }
            Address::Tcp { .. } => {
                remote_count += 1;
                if remote.len() < ENDPOINTS_SHOWN {
                    remote.push(endpoint.address.to_string());
                }
            }
            Address::Unix(_) => {}
        }
    }
    let listening = Listening::now();
    let mut all: Vec<Finding> = of_local(&local, |port| listening.everywhere(port)).into_iter().collect();
    if remote_count > 0 {
        let more = if remote_count > remote.len() {
            format!(" and {} more", remote_count - remote.len())
        } else {
            String::new()
        };
        let why = format!(
            "{}{more} are on a network: whoever reaches them goes past limits, log and queue, and may say who the client is",
            remote.join(", ")
        );
        all.push(note("endpoints elsewhere", why, vec!["a firewall there that lets only this machine in".to_owned()]));
    }
    if let Some(address) = config.admin.address.filter(|_| config.admin.token_file.is_none()) {
        let why = format!("every account of this machine can stop balancer at {address}, for there is no token");
        all.push(note("admin service", why, vec!["token_file = \"/etc/balancer/token\" in [admin]".to_owned()]));
    }
    all
}

fn of_local(local: &[(String, SocketAddr)], is_everywhere: impl Fn(u16) -> bool) -> Option<Finding> {
    let mut open: Vec<String> = local
        .iter()
        .filter(|(_, address)| is_everywhere(address.port()))
        .map(|(name, address)| format!("{name} (port {})", address.port()))
        .collect();
    let listen = if open.len() == 1 { "listens" } else { "listen" };
    let more = open.len().saturating_sub(ENDPOINTS_SHOWN);
    open.truncate(ENDPOINTS_SHOWN);
    if more > 0 {
        open.push(format!("{more} more"));
    }
    match (open.is_empty(), local.is_empty()) {
        (true, true) => None,
        (true, false) => {
            Some(fine("endpoints here", format!("all {} listen on this machine's own address alone", local.len())))
        }
        (false, _) => Some(warning(
            "endpoints here",
            format!(
                "{} {listen} on every address: whoever reaches this machine reaches them past balancer, its limits and its log",
                open.join(", ")
            ),
            vec!["have the program listen on 127.0.0.1 ($HOST), or socket = true in [pool.NAME.workers]".to_owned()],
        )),
    }
}

/// Workers and where they listen.
fn of_workers(status: &Value) -> Vec<(String, SocketAddr)> {
    let pools = status["pools"].as_array().into_iter().flatten();
    let workers = pools.filter_map(|pool| pool["workers"]["all"].as_array()).flatten();
    let of = |worker: &Value| Some((worker["name"].as_str()?.to_owned(), worker["address"].as_str()?.parse().ok()?));
    workers.filter_map(of).collect()
}

/// Who listens on this machine.
struct Listening(Holders);

impl Listening {
    fn now() -> Self {
        Self(Holders::now())
    }

    /// Whether somebody listens at that port on every address.
    fn everywhere(&self, port: u16) -> bool {
        let any: [IpAddr; 2] = [[0; 4].into(), [0_u16; 8].into()];
        self.0.addresses().any(|address| address.port() == port && any.contains(&address.ip()))
    }
}

const ENDPOINTS_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn who_listens_on_every_address_is_told_by_name_and_port() {
        let status = json!({ "pools": [{ "workers": { "all": [
            { "name": "app.1", "address": "127.0.0.1:8000" },
            { "name": "app.2", "address": "127.0.0.1:8001" },
            { "name": "app.3", "address": null },
        ] } }, { "workers": null }] });
        let workers = of_workers(&status);
        assert_eq!(workers.len(), 2);
        let found = of_local(&workers, |port| port == 8_001).unwrap();
        assert!(
            found.level == Severity::Warning && found.why.starts_with("app.2 (port 8001) listens on every address"),
            "{found:?}"
        );
        let many: Vec<_> = (1..=9).map(|index| (format!("app.{index}"), workers[0].1)).collect();
        let found = of_local(&many, |_| true).unwrap();
        assert!(found.why.contains("app.4 (port 8000), 5 more listen on every address"), "{found:?}");
        assert_eq!(of_local(&workers, |_| false).unwrap().level, Severity::Fine);
        assert!(of_local(&[], |_| true).is_none());
    }

    #[test]
    fn the_kernels_table_tells_who_listens_everywhere() {
        let everywhere = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = Listening::now();
        assert!(listening.everywhere(everywhere.local_addr().unwrap().port()));
        assert!(!listening.everywhere(here.local_addr().unwrap().port()));
    }
}
