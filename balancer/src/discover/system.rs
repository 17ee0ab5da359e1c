//! What the machine says of names: resolv.conf and hosts, read again when they have changed.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};

use crate::config::regular;

/// The two files and what they said when they were read.
#[derive(Debug)]
pub(super) struct System {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    read: Mutex<Option<(Stamps, Arc<SystemDns>)>>,
}

/// What they said.
#[derive(Debug)]
pub(super) struct SystemDns {
    pub(super) resolver: TokioResolver,
    pub(super) search: Vec<String>,
    pub(super) ndots: usize,
    hosts: Hosts,
}

/// Which files they were, how long and how old.
type Stamps = [Option<(u64, u64, u64, Option<SystemTime>)>; 2];

impl System {
    /// Of this machine.
    pub(super) fn new() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), read: Mutex::default() }
    }

    /// What the files say now.
    ///
    /// # Errors
    /// When no resolver can be made of it, and there is none from before.
    pub(super) fn now(&self) -> io::Result<Arc<SystemDns>> {
        let stamps = [&self.resolv_conf, &self.hosts].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.dev(), found.ino(), found.len(), found.modified().ok()))
        });
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, said)) = &*read
            && *of == stamps
        {
            return Ok(Arc::clone(said));
        }
        match self.read() {
            Ok(said) => {
                let said = Arc::new(said);
                *read = Some((stamps, Arc::clone(&said)));
                Ok(said)
            }
            // It is being written, perhaps.
            Err(error) => read.as_ref().map(|(_, said)| Arc::clone(said)).ok_or(error),
        }
    }

    fn read(&self) -> io::Result<SystemDns> {
        let (config, mut options) = match regular::read(&self.resolv_conf, RESOLV_CONF_MAX).map(parse_resolv_conf) {
            Ok(Ok(said)) => said,
            // As resolv.conf(5) has it where there is no file, or none names a server.
            Ok(Err(_)) | Err(_) => (local(), ResolverOpts::default()),
        };
        // Answers with more than 25 addresses do not fit without.
        options.edns0 = true;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // We ask again soon, whatever comes of it.
        options.attempts = 0;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        let (search, ndots) = (config.search().iter().map(Name::to_utf8).collect(), options.ndots);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(io::Error::other)?;
        let mut hosts = Hosts::default();
        match regular::read(&self.hosts, HOSTS_MAX) {
            Ok(text) => hosts.read_hosts_conf(text.as_slice())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(SystemDns { resolver, search, ndots, hosts })
    }
}

impl SystemDns {
    /// The addresses that hosts(5) has for a name; `None` where it has none of either family, and DNS is to be asked.
    pub(super) fn of_hosts(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = Name::from_str(name).ok()?;
        let records = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|family| self.hosts.lookup_static_host(&Query::query(name.clone(), family)));
        let addresses: Vec<IpAddr> = records
            .flat_map(|lookup| lookup.answers().iter().filter_map(|it| it.data.ip_addr()).collect::<Vec<_>>())
            .collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}

/// The server on this machine.
fn local() -> ResolverConfig {
    ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into())])
}

/// Far above any; a path to something else must not fill the memory.
const RESOLV_CONF_MAX: u64 = 1 << 20;
/// Lists of what is not to be reached have some MiB.
const HOSTS_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn system(name: &str) -> (System, PathBuf) {
        let directory = std::env::temp_dir().join(format!("balancer-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (resolv_conf, hosts) = (directory.join("resolv.conf"), directory.join("hosts"));
        (System { resolv_conf, hosts, read: Mutex::default() }, directory)
    }

    #[test]
    fn the_files_are_read_again_when_they_have_changed() {
        let (system, directory) = system("system-files");
        fs::write(&system.resolv_conf, "nameserver 127.0.0.1\nsearch a.test b.test\noptions ndots:2\n").unwrap();
        fs::write(&system.hosts, "10.0.0.1 one one.test\nfd00::1 one\n10.0.0.2 two # three\n").unwrap();
        let first = system.now().unwrap();
        assert_eq!((&first.search[..], first.ndots), (&["a.test".to_owned(), "b.test".to_owned()][..], 2));
        assert_eq!(first.of_hosts("one"), Some(vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]));
        assert_eq!(first.of_hosts("ONE.test."), Some(vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(first.of_hosts("three"), None);
        assert!(Arc::ptr_eq(&first, &system.now().unwrap()));
        fs::write(&system.hosts, "10.0.0.3 one\n").unwrap();
        assert_eq!(system.now().unwrap().of_hosts("one"), Some(vec!["10.0.0.3".parse().unwrap()]));
        fs::write(&system.resolv_conf, "nameserver 127.0.0.2\nsearch c.test\n").unwrap();
        assert_eq!(system.now().unwrap().search, ["c.test"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn without_files_the_server_of_this_machine_is_asked() {
        let (system, directory) = system("system-none");
        assert_eq!(system.now().unwrap().of_hosts("localhost"), None);
        fs::write(&system.resolv_conf, "nonsense\n").unwrap();
        assert!(system.now().is_ok());
        fs::remove_dir_all(directory).unwrap();
    }
}
