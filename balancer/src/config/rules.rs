//! Rules that need more than one table. Decides whether addresses and ports of listeners, endpoints and workers get in
//! each other's way; called by [`super::top`] last; never reads the tree.

use std::ops::RangeInclusive;

use super::syntax::findings::Findings;
use super::syntax::span::{Placed, Span};
use super::tables::endpoint::{Address, Host};
use super::tables::listen::ListenAddress;
use super::tables::pool::PlacedPool;

/// Notes what cannot be true at once.
pub(super) fn across(findings: &Findings, listen: &[Placed<ListenAddress>], pools: &[PlacedPool]) {
    loops(findings, listen, pools);
    ports(findings, listen, pools);
    addresses(findings, listen, pools);
    order(findings, pools);
    programs(findings, pools);
}

/// Who starts after whom: pools with workers, and not in a circle.
fn order(findings: &Findings, pools: &[PlacedPool]) {
    let after = |name: &str| {
        let pool = pools.iter().find(|pool| pool.pool.name == name)?;
        Some(&pool.pool.workers.as_ref()?.after)
    };
    for pool in pools {
        let name = &pool.pool.name;
        for before in after(name).into_iter().flatten() {
            if after(before).is_none() {
                let message = format!("pool `{name}` starts after `{before}`, which is no pool with workers");
                findings.whole(pool.span.clone(), message, "name pools of this file that have workers".to_owned());
            }
        }
        let (mut reached, mut next) = (Vec::new(), vec![name]);
        while let Some(one) = next.pop() {
            for before in
                after(one).into_iter().flatten().filter(|before| !reached.contains(before)).collect::<Vec<_>>()
            {
                reached.push(before);
                next.push(before);
            }
        }
        if reached.contains(&name) {
            let message = format!("pool `{name}` starts after itself");
            findings.whole(
                pool.span.clone(),
                message,
                "its `after` leads back to it: leave one of them out".to_owned(),
            );
        }
    }
}

/// Programs without HTTP are no endpoints.
fn programs(findings: &Findings, pools: &[PlacedPool]) {
    for pool in pools.iter().filter(|pool| pool.pool.is_proxied() && !pool.pool.serves()) {
        if !pool.pool.endpoints.is_empty() {
            let message = format!("pool `{}` has endpoints, and workers that take no requests", pool.pool.name);
            let help = "`ready = { alive = … }` is for programs without HTTP: give them a pool of their own".to_owned();
            findings.whole(pool.span.clone(), message, help);
        }
    }
}

/// Addresses that workers have for themselves are nobody else's, and no endpoint: a request to one would pass by us.
fn addresses(findings: &Findings, listen: &[Placed<ListenAddress>], pools: &[PlacedPool]) {
    let own = |pool: &PlacedPool| Some(ListenAddress::Tcp(pool.pool.workers.as_ref()?.sharing?.address));
    let covers = |one: &ListenAddress, other: &ListenAddress| {
        one.covers(other, std::slice::from_ref(other)) || other.covers(one, std::slice::from_ref(one))
    };
    for (index, pool) in pools.iter().enumerate() {
        let (Some(address), Some(span)) = (own(pool), &pool.address) else { continue };
        let help = "give each an address or a port of its own".to_owned();
        if let Some(other) = listen.iter().find(|other| covers(&other.value, &address)) {
            let message = format!("balancer itself listens on `{}`", other.value);
            findings.whole(span.clone(), message, help.clone());
        }
        let earlier = pools[..index].iter().find(|other| own(other).is_some_and(|other| covers(&other, &address)));
        if let Some(other) = earlier {
            findings.whole(span.clone(), format!("pool `{}` has that address already", other.pool.name), help);
        }
    }
}

/// No endpoint is one of our own listeners: a request to it would come back to us without end.
fn loops(findings: &Findings, listen: &[Placed<ListenAddress>], pools: &[PlacedPool]) {
    let all: Vec<ListenAddress> = listen.iter().map(|own| own.value.clone()).collect();
    for pool in pools {
        for (endpoint, span) in pool.pool.endpoints.iter().zip(&pool.endpoints) {
            if let Some(own) = listen.iter().find(|own| reaches(&endpoint.address, &own.value, &all)) {
                let message = format!("`{}` is where balancer itself listens", endpoint.address);
                let help = format!("`listen` has \"{}\": write the address of the program behind balancer", own.value);
                findings.whole(span.clone(), message, help);
            }
        }
    }
}

/// Whether a connection to `address` ends at `own`, one of `all`, as far as can be told without asking the machine.
fn reaches(address: &Address, own: &ListenAddress, all: &[ListenAddress]) -> bool {
    match (address, own.place()) {
        (Address::Unix(path), ListenAddress::Unix(own)) => *path == own.path,
        (Address::Tcp { host, port }, ListenAddress::Tcp(bound)) if *port == bound.port() => match host {
            Host::Ip(ip) => {
                let ip = ip.to_canonical();
                ip == bound.ip().to_canonical() || (ip.is_loopback() && own.takes_all(ip.is_ipv4(), all))
            }
            Host::Zone(..) => false,
            Host::Name(name) => name == "localhost" && (bound.ip().is_loopback() || bound.ip().is_unspecified()),
        },
        _ => false,
    }
}

/// Fixed ports of workers are nobody else's.
fn ports(findings: &Findings, listen: &[Placed<ListenAddress>], pools: &[PlacedPool]) {
    let blocks: Vec<Block<'_>> = pools.iter().filter_map(Block::of).collect();
    for (index, block) in blocks.iter().enumerate() {
        let (first, last) = (block.ports.start(), block.ports.end());
        let reserved = format!("pool `{}` takes ports {first} to {last}, two for each worker", block.pool);
        let taken = listen.iter().find_map(|own| match own.value.place() {
            ListenAddress::Tcp(address) if block.ports.contains(&address.port()) => Some(own.value.to_string()),
            _ => None,
        });
        let others = pools.iter().filter_map(|pool| pool.pool.workers.as_ref()?.sharing);
        let taken = taken.or_else(|| {
            let mut others = others.filter(|other| block.ports.contains(&other.address.port()));
            others.next().map(|other| other.address.to_string())
        });
        if let Some(own) = taken {
            let message = format!("{reserved}, and balancer listens on `{own}`");
            findings.whole(
                block.span.clone(),
                message,
                "write a first port beyond, or leave it out for free ports".to_owned(),
            );
        }
        if let Some(other) = blocks[..index].iter().find(|other| other.overlaps(block)) {
            let message =
                format!("{reserved}, and pool `{}` {} to {}", other.pool, other.ports.start(), other.ports.end());
            let next = u32::from(*other.ports.end()) + 1;
            let help = match next + u32::from(last - first) <= u32::from(u16::MAX) {
                true => format!("write {next} or more, or leave it out for free ports"),
                false => "leave it out for free ports".to_owned(),
            };
            findings.whole(block.span.clone(), message, help);
        }
    }
}

/// The fixed ports of a pool: one for each worker, and the same again for their replacements.
struct Block<'a> {
    pool: &'a str,
    ports: RangeInclusive<u16>,
    span: &'a Span,
}

impl<'a> Block<'a> {
    fn of(pool: &'a PlacedPool) -> Option<Self> {
        let workers = pool.pool.workers.as_ref()?;
        let (first, span) = (workers.first_port?, pool.first_port.as_ref()?);
        let last = u16::try_from(usize::from(first) + 2 * workers.count - 1).ok()?;
        Some(Self { pool: &pool.pool.name, ports: first..=last, span })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.ports.start() <= other.ports.end() && other.ports.start() <= self.ports.end()
    }
}
