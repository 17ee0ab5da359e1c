//! `balancer check`: every mistake of the file, and what of the machine would make the start go wrong.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::check_tls::{of_certificates, of_pools};
use super::file::load;
use super::notes::{of_modes, who_may_connect};
use super::say::{print, say};
use crate::admin::Account;
use crate::config::{self, Address, Config, DnsName, Host, ListenAddress, Mode, Pool, UnixSocket, token_is_open};
use crate::discover::{Resolve, Resolver};
use crate::listen::{self, Passed};
use crate::supervise::{Holders, Sockets, find_program};

/// Which file.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The configuration [default: as without a command]
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

pub(super) fn run(file: Option<PathBuf>, mut passed: Passed) -> ExitCode {
    let (config, path) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    for variable in config::variables(&path) {
        print(format!("from the environment: {variable}\n").as_bytes());
    }
    let opened_elsewhere = of_passed(&config, &mut passed);
    let warnings = warnings(&config, &path, opened_elsewhere);
    for socket in config.listen.iter().filter_map(unix_socket) {
        say(&format!("note: {}", who_may_connect(socket, &config.identity)));
    }
    for note in of_modes(&config) {
        say(&format!("note: {note}"));
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
    match address.place() {
        ListenAddress::Unix(socket) => Some(socket),
        _ => None,
    }
}

/// Listeners that others open. They are here only where this command was started as the program will be; else that is said, and no
/// warning.
fn of_passed(config: &Config, passed: &mut Passed) -> Vec<String> {
    let named = config.listen.iter().filter(|address| matches!(address.place(), ListenAddress::Passed(_)));
    if passed.is_empty() {
        for address in named {
            say(&format!(
                "note: {address} is opened by the service manager (its .socket unit), so it is not checked here"
            ));
        }
        return Vec::new();
    }
    let mut warnings: Vec<String> = named
        .filter_map(|address| {
            let error = listen::open(address, &config.listen, 1, passed).err()?;
            Some(format!("cannot listen on {address}: {error}"))
        })
        .collect();
    warnings.extend(passed.left());
    warnings
}

/// What is right in the file and still would not work here and now; of `listeners` some is known.
fn warnings(config: &Config, path: &Path, mut listeners: Vec<String>) -> Vec<String> {
    let mut ports = Ports::default();
    for address in &config.listen {
        match address.place() {
            ListenAddress::Tcp(address) => {
                let taken = ports.taken(*address).map(|holder| format!("cannot listen on {address}: {holder}"));
                listeners.extend(taken);
            }
            ListenAddress::Unix(socket) => {
                listeners.extend(of_socket(&socket.path).map(|why| format!("cannot listen on {address}: {why}")))
            }
            _ => {}
        }
    }
    if config.pools.iter().any(|pool| pool.workers.as_ref().is_some_and(|workers| !workers.socket))
        && let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
    {
        listeners.push(format!("workers cannot listen on 127.0.0.1: {error}; bring the interface lo up"));
    }
    if let Some(path) = &config.admin.socket {
        listeners.extend(of_socket(path).map(|why| format!("cannot open the admin socket {}: {why}", path.display())));
    }
    if let Some(address) = config.admin.address {
        listeners
            .extend(ports.taken(address).map(|holder| format!("cannot open the admin address {address}: {holder}")));
    }
    listeners.extend(of_certificates(config));
    listeners.extend(of_pools(config));
    // Made and removed again.
    let sockets = Sockets::make(&config.pools).err().map(|error| error.to_string()).into_iter();
    let token = config.admin.token_file.as_deref().and_then(token_is_open);
    let others = sockets.chain(token).chain(of_access_log(config)).chain(of_account(config, path)).chain(names(config));
    let pools = config.pools.iter().flat_map(|pool| of_pool(pool, &mut ports)).collect::<Vec<_>>();
    listeners.into_iter().chain(others).chain(pools).collect()
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
        let log = config.access_log.file().filter(|log| log.metadata().map_or(true, |found| found.is_file()));
        let directory = log.map(directory_of);
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

/// Whether the access log can be opened, without making it.
fn of_access_log(config: &Config) -> Option<String> {
    let path = config.access_log.file()?;
    let opened = match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_file(directory_of(path)),
        // That of a pipe would wait for a reader.
        _ => OpenOptions::new().append(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map(drop),
    };
    let error = opened.err()?;
    Some(match error.raw_os_error() {
        Some(nix::libc::ENXIO) => {
            format!("the access log {} is a pipe without a reader: lines would be lost", path.display())
        }
        _ => format!("cannot open the access log {}: {error}", path.display()),
    })
}

/// The directory a file is in.
fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a file can be made there; it is removed again.
fn make_file(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".balancer-check-{}", std::process::id()));
    File::create_new(&path)?;
    fs::remove_file(path)
}

fn of_pool(pool: &Pool, taken: &mut Ports) -> Vec<String> {
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
    // Others may have the port by the same option.
    let own = workers.sharing.filter(|sharing| sharing.mode != Mode::ReusePort);
    if let Some(sharing) = own
        && let Some(holder) = taken.taken(sharing.address)
    {
        warnings.push(format!("pool {}: cannot listen on {}: {holder}", pool.name, sharing.address));
    }
    let ports = workers.first_port.into_iter().flat_map(|first| (first..).take(workers.count));
    for port in ports {
        if let Some(holder) = taken.taken(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            warnings.push(format!("pool {}: port {port} of a worker is taken: {holder}", pool.name));
        }
    }
    warnings
}

/// Why a socket cannot be made at `path`: what is there, or where it would be.
fn of_socket(path: &Path) -> Option<String> {
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            return Some("something that is not a socket is there".to_owned());
        }
        // Left by a dead instance, or this file's own instance is running.
        Ok(_) => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Some(error.to_string()),
        Err(_) => {}
    }
    make_file(directory_of(path)).err().map(|error| format!("{}: {error}", directory_of(path).display()))
}

/// Who listens where, looked up once for all that is asked.
#[derive(Default)]
struct Ports(Option<Holders>);

impl Ports {
    /// Who keeps an address from being listened on.
    fn taken(&mut self, address: SocketAddr) -> Option<String> {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Some(match self.0.get_or_insert_with(Holders::now).at(address) {
                    Some((pid, name)) => format!("{name} (pid {pid}) listens there"),
                    None => "another process listens there".to_owned(),
                })
            }
            Err(error) => Some(error.to_string()),
            Ok(_) => None,
        }
    }
}

/// Somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
