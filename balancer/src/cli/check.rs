//! `balancer check`: every mistake of the file, and what of the machine would make the start go wrong.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{User, geteuid};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{load, print, say};
use crate::admin::Account;
use crate::config::{
    AccessLogPath, Address, Config, DnsName, Host, Identity, ListenAddress, Pool, UnixSocket, token_is_open,
};
use crate::discover::{Resolve, Resolver};
use crate::supervise::{Sockets, find_program, who_listens};

/// Which file.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The configuration [default: as without a command]
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

pub(super) fn run(file: Option<PathBuf>) -> ExitCode {
    let (config, path) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let warnings = warnings(&config, &path);
    for socket in config.listen.iter().filter_map(unix_socket) {
        say(&format!("note: {}", who_may_connect(socket, &config.identity)));
    }
    for warning in &warnings {
        say(&format!("warning: {warning}"));
    }
    let workers: usize =
        config.pools.iter().filter_map(|pool| pool.workers.as_ref()).map(|workers| workers.count).sum();
    let endpoints: usize = config.pools.iter().map(|pool| pool.endpoints.len()).sum();
    let counted = [
        count(config.listen.len(), "listener"),
        count(config.pools.len(), "pool"),
        count(endpoints, "fixed endpoint"),
        count(workers, "worker"),
        count(warnings.len(), "warning"),
    ];
    print(format!("{}: correct; {}\n", path.display(), counted.join(", ")).as_bytes())
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn unix_socket(address: &ListenAddress) -> Option<&UnixSocket> {
    match address {
        ListenAddress::Unix(socket) => Some(socket),
        ListenAddress::Tcp(_) => None,
    }
}

/// Whom the file of a socket lets in: those that may write to it (unix(7)).
fn who_may_connect(socket: &UnixSocket, identity: &Identity) -> String {
    let name = |uid| User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let user = identity.user.clone().unwrap_or_else(|| name(geteuid()));
    let group = socket.group.clone().or_else(|| identity.group.clone());
    let own = match user.as_str() {
        "root" | "0" => "root".to_owned(),
        user => format!("user {user} and root"),
    };
    let who = match (socket.mode & 0o020 != 0, socket.mode & 0o002 != 0, group) {
        (_, true, _) => "every account of this machine that reaches its directory".to_owned(),
        (true, false, Some(group)) => format!("group {group}, {own}"),
        (true, false, None) => format!("the group of the account we run as, {own}"),
        (false, false, _) => own,
    };
    let path = socket.path.display();
    format!("who may connect to unix:{path}: {who}; what they say of their clients (X-Forwarded-*) is believed")
}

/// What is right in the file and still would not work here and now.
fn warnings(config: &Config, path: &Path) -> Vec<String> {
    let listeners = config.listen.iter().filter_map(|address| match address {
        ListenAddress::Tcp(address) => taken(*address).map(|holder| format!("cannot listen on {address}: {holder}")),
        ListenAddress::Unix(_) => None,
    });
    // Made and removed again.
    let sockets = Sockets::make(&config.pools).err().map(|error| error.to_string());
    let token = config.admin.token_file.as_deref().and_then(token_is_open);
    listeners
        .chain(sockets)
        .chain(token)
        .chain(of_account(config, path))
        .chain(names(config))
        .chain(config.pools.iter().flat_map(of_pool))
        .collect()
}

/// Names that have no address, in the order of the file. All are asked for at once, as the program will.
fn names(config: &Config) -> Vec<String> {
    let named = |pool: &Pool| -> Vec<(String, DnsName)> {
        let of_endpoints = pool.endpoints.iter().filter_map(|endpoint| match &endpoint.address {
            Address::Tcp { host: Host::Name(name), port } => Some(DnsName { name: name.clone(), port: Some(*port) }),
            Address::Tcp { .. } | Address::Unix(_) => None,
        });
        of_endpoints.chain(pool.dns.name.clone()).map(|name| (pool.name.clone(), name)).collect()
    };
    let names: Vec<(String, DnsName)> = config.pools.iter().flat_map(named).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![format!("cannot ask for names: {error}")],
    };
    let resolver = Arc::new(Resolver::default());
    let mut warnings = runtime.block_on(async {
        let mut asked = JoinSet::new();
        for (index, (pool, name)) in names.into_iter().enumerate() {
            let resolver = Arc::clone(&resolver);
            asked.spawn(async move {
                let problem = match timeout(PATIENCE, resolver.places(&name)).await {
                    Ok(answer) => answer.problem()?,
                    Err(_) => format!("no answer within {PATIENCE:?}"),
                };
                Some((index, format!("pool {pool}: {name} does not resolve: {problem}")))
            });
        }
        asked.join_all().await
    });
    warnings.sort();
    warnings.into_iter().flatten().map(|(_, warning)| warning).collect()
}

/// What root may and the account that root becomes may not.
fn of_account(config: &Config, path: &Path) -> Vec<String> {
    let (Some(account), Some(user)) = (Account::of(&config.identity), &config.identity.user) else { return Vec::new() };
    let mut warnings = Vec::new();
    account.acting(|| {
        if let Err(error) = File::open(path) {
            warnings.push(format!("user {user} cannot read {}, so there is no reload: {error}", path.display()));
        }
        let log = match &config.access_log.path {
            AccessLogPath::File(log) if log.metadata().map_or(true, |found| found.is_file()) => Some(log),
            AccessLogPath::File(_) | AccessLogPath::Stdout => None,
        };
        let directory =
            log.and_then(|log| log.parent()).map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it });
        if let Some((directory, error)) = directory.and_then(|directory| Some((directory, make_file(directory).err()?)))
        {
            warnings.push(format!(
                "user {user} cannot make files in {}, so USR1 does not open a new access log: {error}",
                directory.display()
            ));
        }
    });
    warnings
}

/// Whether a file can be made there; it is removed again.
fn make_file(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".balancer-check-{}", std::process::id()));
    File::create_new(&path)?;
    fs::remove_file(path)
}

fn of_pool(pool: &Pool) -> Vec<String> {
    let mut warnings = Vec::new();
    for endpoint in &pool.endpoints {
        match &endpoint.address {
            Address::Unix(path) if !path.exists() => {
                warnings.push(format!("pool {}: there is no socket {}", pool.name, path.display()));
            }
            Address::Tcp { .. } | Address::Unix(_) => {}
        }
    }
    let Some(workers) = &pool.workers else { return warnings };
    let search_path = workers.env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"));
    if let Some(program) = workers.command.first().filter(|program| !program.contains('{'))
        && let Err(error) = find_program(program, workers.directory.as_deref(), search_path.as_deref())
    {
        warnings.push(format!("pool {}: {error}", pool.name));
    }
    let ports = workers.first_port.into_iter().flat_map(|first| (first..).take(workers.count));
    for port in ports {
        if let Some(holder) = taken(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            warnings.push(format!("pool {}: port {port} of a worker is taken: {holder}", pool.name));
        }
    }
    warnings
}

/// Who keeps an address from being listened on.
fn taken(address: SocketAddr) -> Option<String> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Some(match who_listens(address) {
            Some((pid, name)) => format!("{name} (pid {pid}) listens there"),
            None => "somebody listens there".to_owned(),
        }),
        Err(error) => Some(error.to_string()),
        Ok(_) => None,
    }
}

/// Somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
