//! `docker-compose.yml` → a set-up: one pool for the containers of each service that clients reach.
//!
//! Decides which services those are. Called by [`super`] with the text. Never asks Docker.

mod port;
mod service;
#[cfg(test)]
mod tests;
mod yaml;

use std::rc::Rc;

use toml::Value;

use super::front::{self, Reached};
use super::setup::{FileLine, PoolDraft, Setup, Unreadable};
use port::ContainerPort;
use service::Role;
use yaml::YamlNode;

/// Reads a text; `file` is what it is called.
pub(super) fn read(text: &str, file: &Rc<str>) -> Result<Setup, Unreadable> {
    let place = |line| FileLine { file: Rc::clone(file), line };
    let root = yaml::read(text, file)?;
    let services = services(&root, &place)?;
    let mut setup = Setup::default();
    if let Some(include) = root.get("include") {
        setup.seen(&place(include.line), "include: the files are not read: import each by itself");
    }
    let mut wrong = Vec::new();
    let roles: Vec<(&str, &YamlNode, Role)> = services
        .entries()
        .iter()
        .map(|(name, service)| (name.as_str(), service, service::role(name, service, &mut wrong)))
        .collect();
    for (line, text) in wrong {
        setup.unseen(&place(line), text);
    }
    let front = roles.iter().find_map(|(name, service, role)| match role {
        Role::Front(ports) => Some((*name, *service, ports)),
        _ => None,
    });
    if let Some((name, service, _)) = front {
        let text = format!(
            "service {name}: left out, as balancer takes its place; import its own file too, and take routes and limits from that"
        );
        setup.seen(&place(service.line), text);
    }
    let mut served = Vec::new();
    for (name, service, role) in &roles {
        let own = place(service.line);
        match role {
            Role::App(port) if port.published.is_some() || front.is_some() || !any_published(&roles) => {
                let pool = setup.free_name(name);
                setup.pools.push(PoolDraft {
                    name: pool.clone(),
                    keys: service::keys(name, service, port),
                    workers: None,
                });
                // Its own service listens where this one did, for those who publish a port.
                let listen = port.published.as_ref().map(|_| Value::from(format!("0.0.0.0:{}", port.target)));
                if listen.is_some() {
                    let text = format!(
                        "service {name}: give its `ports` to the service of balancer, which listens at {} too",
                        port.target
                    );
                    setup.unseen(&own, text);
                }
                let found = port.published.as_ref().map(|published| format!("at {published}"));
                served.push(Reached { pool, place: own, listen, found });
            }
            Role::App(_) => setup.unseen(&own, format!("service {name}: no port of it is published: left out")),
            Role::Other => {
                setup.unseen(&own, format!("service {name}: no HTTP: left out, clients go on to reach it themselves"))
            }
            Role::Alone => setup.unseen(&own, format!("service {name}: it has no port: left out")),
            Role::Front(_) => {}
        }
    }
    if let Some((name, _, ports)) = front {
        behind(name, ports, &mut served);
    }
    let first = served.iter().position(|one| one.listen.is_some()).unwrap_or(0);
    served.rotate_left(first);
    front::add(&served, "0.0.0.0:8080", &mut setup);
    Ok(setup)
}

/// What stands below `services`, within bounds.
fn services<'a>(root: &'a YamlNode, place: &dyn Fn(usize) -> FileLine) -> Result<&'a YamlNode, Unreadable> {
    match root.get("services") {
        Some(services) if services.entries().len() > SERVICES_MAX => {
            let message = format!("{} services, and {SERVICES_MAX} are the most", services.entries().len());
            Err(Unreadable { place: place(services.line), message })
        }
        Some(services) if !services.entries().is_empty() => Ok(services),
        _ => Err(Unreadable { place: place(root.line), message: "there are no `services` in it".to_owned() }),
    }
}

/// Clients find all where the front was, but for its TLS.
fn behind(name: &str, ports: &[ContainerPort], served: &mut [Reached]) {
    let plain = ports.iter().find(|port| port.published.is_some() && port.target != "443");
    for one in served {
        one.listen = plain.map(|port| format!("0.0.0.0:{}", port.target).into()).or(one.listen.take());
        one.found = Some(format!("by the rules of service {name}"));
    }
}

fn any_published(roles: &[(&str, &YamlNode, Role)]) -> bool {
    roles.iter().any(|(_, _, role)| matches!(role, Role::App(port) if port.published.is_some()))
}

/// More than anybody has.
const SERVICES_MAX: usize = 256;
