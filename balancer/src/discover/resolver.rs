//! Questions to DNS and to the files in front of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::task::JoinSet;

use super::answer::{DnsAnswer, DnsFailure, FoundPlace, Part};
use super::resolve::Resolve;
use super::search;
use super::shares::shares;
use super::system::{System, SystemDns};
use crate::config::DnsName;

/// Asks as this machine is set up to. An answer takes no longer than resolv.conf allows (`timeout`, 5 s where it says nothing, for
/// each name of the search list).
#[derive(Debug)]
pub struct Resolver(System);

impl Default for Resolver {
    fn default() -> Self {
        Self(System::new())
    }
}

impl Resolve for Resolver {
    async fn host(&self, name: &str) -> DnsAnswer<IpAddr> {
        match self.0.now() {
            Ok(said) => host(&said, name).await,
            Err(error) => DnsAnswer::failed(&DnsFailure::Refused(error.to_string())),
        }
    }

    async fn places(&self, name: &DnsName) -> DnsAnswer<FoundPlace> {
        match name.port {
            Some(port) => self.host(&name.name).await.at(port),
            None => match self.0.now() {
                Ok(said) => service(&said, &name.name).await,
                Err(error) => DnsAnswer::failed(&DnsFailure::Refused(error.to_string())),
            },
        }
    }
}

async fn host(said: &SystemDns, name: &str) -> DnsAnswer<IpAddr> {
    if let Some(known) = said.of_hosts(name) {
        let (v4, v6) = known.into_iter().partition(IpAddr::is_ipv4);
        return DnsAnswer { v4: Part::of(v4), v6: Part::of(v6), unknown: false };
    }
    let mut all = DnsAnswer { v4: Part::of(Vec::new()), v6: Part::of(Vec::new()), unknown: true };
    for whole in search::names(name, &said.search, said.ndots) {
        let (v4, v6) = tokio::join!(family(said, &whole, RecordType::A), family(said, &whole, RecordType::AAAA));
        let unknown = v4.1 && v6.1;
        let answer = DnsAnswer { v4: v4.0, v6: v6.0, unknown };
        let silent = answer.parts().iter().all(|part| part.failed == Some(DnsFailure::Silent));
        if answer.is_found() || silent {
            return answer;
        }
        // The next name may answer, but what failed here is not there to say that there is none.
        all.v4.failed = all.v4.failed.or(answer.v4.failed);
        all.v6.failed = all.v6.failed.or(answer.v6.failed);
        all.unknown &= unknown;
    }
    all
}

/// Addresses of one family, and whether it was said that the name does not exist.
async fn family(said: &SystemDns, whole: &str, family: RecordType) -> (Part<IpAddr>, bool) {
    match records(said, whole, family).await {
        Ok(records) => (Part::of(records.iter().filter_map(RData::ip_addr).collect()), false),
        Err(Nothing::Unknown) => (Part::of(Vec::new()), true),
        Err(Nothing::Failed(failure)) => (Part::failed(failure), false),
    }
}

/// The places of a name with SRV records.
async fn service(said: &Arc<SystemDns>, name: &str) -> DnsAnswer<FoundPlace> {
    let (mut failed, mut unknown) = (None, true);
    for whole in search::names(name, &said.search, said.ndots) {
        match records(said, &whole, RecordType::SRV).await {
            Ok(records) if !records.is_empty() => return targets(said, &records).await,
            Ok(_) => unknown = false,
            Err(Nothing::Unknown) => {}
            Err(Nothing::Failed(DnsFailure::Silent)) => return DnsAnswer::failed(&DnsFailure::Silent),
            Err(Nothing::Failed(failure)) => failed = failed.or(Some(failure)),
        }
    }
    let part = || Part { found: Vec::new(), failed: failed.clone() };
    DnsAnswer { v4: part(), v6: part(), unknown: unknown && failed.is_none() }
}

/// The addresses of those that SRV records name, all asked for at once.
async fn targets(said: &Arc<SystemDns>, records: &[RData]) -> DnsAnswer<FoundPlace> {
    let services = records.iter().filter_map(|record| match record {
        RData::SRV(srv) => Some(srv),
        _ => None,
    });
    let records: Vec<_> = services.take(TARGETS_MAX).collect();
    let shares = shares(&records.iter().map(|srv| (srv.priority, srv.weight)).collect::<Vec<_>>());
    let mut asked = JoinSet::new();
    // RFC 2782: a target of "." says that there is no such service.
    for (srv, share) in records.iter().zip(shares).filter(|(srv, _)| !srv.target.is_root()) {
        let (said, target, port) = (Arc::clone(said), srv.target.to_utf8(), srv.port);
        asked.spawn(async move { (host(&said, &target).await, port, share) });
    }
    let mut all = DnsAnswer { v4: Part::of(Vec::new()), v6: Part::of(Vec::new()), unknown: false };
    // Two records may lead to one place.
    let mut seen = BTreeSet::new();
    while let Some(done) = asked.join_next().await {
        let Ok((answer, port, (weight, backup))) = done else { continue };
        for (all, part) in [(&mut all.v4, answer.v4), (&mut all.v6, answer.v6)] {
            let places =
                part.found.into_iter().map(|ip| FoundPlace { address: SocketAddr::new(ip, port), weight, backup });
            all.found.extend(places.filter(|place| place.address.port() != 0 && seen.insert(place.address)));
            all.failed = all.failed.take().or(part.failed);
        }
    }
    all
}

/// Why there are no records.
enum Nothing {
    /// It was said that the name does not exist.
    Unknown,
    Failed(DnsFailure),
}

/// The records of a name that is written out; none where it exists without such.
async fn records(said: &SystemDns, whole: &str, of: RecordType) -> Result<Vec<RData>, Nothing> {
    match said.resolver.lookup(whole, of).await {
        Ok(lookup) => {
            let records = lookup.answers().iter().filter(|record| record.record_type() == of);
            Ok(records.map(|record| record.data.clone()).collect())
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => Err(Nothing::Unknown),
            ResponseCode::NoError => Ok(Vec::new()),
            code => Err(Nothing::Failed(DnsFailure::Refused(code.to_string()))),
        },
        Err(NetError::Timeout | NetError::NoConnections | NetError::Io(_)) => Err(Nothing::Failed(DnsFailure::Silent)),
        Err(NetError::Dns(DnsError::ResponseCode(code))) => Err(Nothing::Failed(DnsFailure::Refused(code.to_string()))),
        Err(error) => Err(Nothing::Failed(DnsFailure::Refused(error.to_string()))),
    }
}

/// Each may lead to several places.
const TARGETS_MAX: usize = 1_024;
