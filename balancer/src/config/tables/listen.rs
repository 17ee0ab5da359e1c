//! `listen`: where clients connect. Decides what an address to listen on is; called by [`crate::config::top`]; never binds one.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::str::FromStr;

use super::identity;
use super::meant::{right, suggest, wrong};
use super::passed;
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::span::Placed;

/// A place we accept connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An IPv4 or IPv6 address and port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(UnixSocket),
    /// A listener that whoever starts us has opened, by the name it was given (systemd.socket(5), `FileDescriptorName=`).
    Passed(String),
    /// One of the others, whose clients speak TLS.
    Tls(Box<Self>),
}

/// A Unix socket for clients, which are trusted: its file says who may be one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixSocket {
    /// Absolute, and short enough for the kernel.
    pub path: PathBuf,
    /// Mode of the file, whatever the umask. Who may write to it may connect (unix(7)).
    pub mode: u32,
    /// Group of the file, name or number; `None`: that of the account we run as.
    pub group: Option<String>,
}

impl UnixSocket {
    /// One for the account we run as and root alone.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode: MODE, group: None }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(socket) => write!(f, "unix:{}", socket.path.display()),
            Self::Passed(name) => write!(f, "fd:{name}"),
            Self::Tls(place) => write!(f, "tls:{place}"),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(place) = text.strip_prefix("tls:") {
            return if place.starts_with("tls:") { Err(()) } else { Ok(Self::Tls(Box::new(place.parse()?))) };
        }
        match (text.strip_prefix("unix:"), text.strip_prefix("fd:")) {
            (Some(path), _) if is_socket_path(path) => Ok(Self::Unix(UnixSocket::new(path))),
            (None, Some(name)) if passed::is_name(name) => Ok(Self::Passed(name.to_owned())),
            (None, None) => text.parse().map(Self::Tcp).map_err(drop),
            _ => Err(()),
        }
    }
}

/// Whether the kernel takes it as the path of a socket, wherever we are.
fn is_socket_path(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && path.len() <= UNIX_PATH_MAX
}

impl ListenAddress {
    /// Where it is, whatever is spoken there.
    pub fn place(&self) -> &Self {
        match self {
            Self::Tls(place) => place,
            place => place,
        }
    }

    /// Whether its clients speak TLS.
    pub fn encrypts(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether clients of a network are served there without TLS.
    pub fn takes_plain_requests(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Passed(_))
    }

    /// Whether it takes IPv4 clients though it is an IPv6 address: `[::]` does, unless another of `all` that are listened on
    /// has its port in IPv4.
    pub fn takes_ipv4(&self, all: &[Self]) -> bool {
        let Self::Tcp(own) = self.place() else { return false };
        let is_beside = |other: &Self| matches!(other.place(), Self::Tcp(SocketAddr::V4(other)) if other.port() == own.port() && own.port() != 0);
        own.is_ipv6() && own.ip().is_unspecified() && !all.iter().any(is_beside)
    }

    /// Whether binding `self` beside `all` takes the port or path of `other` too: the same, or every address of its family,
    /// or every address at all.
    pub fn covers(&self, other: &Self, all: &[Self]) -> bool {
        match (self.place(), other.place()) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let same_address = one.ip().to_canonical() == other.ip().to_canonical();
                one.port() == other.port() && one.port() != 0 && (same_address || self.takes_all(other.is_ipv4(), all))
            }
            (Self::Unix(one), Self::Unix(other)) => one.path == other.path,
            (Self::Passed(one), Self::Passed(other)) => one == other,
            _ => false,
        }
    }

    /// Whether it takes what is sent to any address of a family.
    pub fn takes_all(&self, ipv4: bool, all: &[Self]) -> bool {
        let Self::Tcp(own) = self.place() else { return false };
        own.ip().is_unspecified() && (own.is_ipv4() == ipv4 || (ipv4 && self.takes_ipv4(all)))
    }
}

/// One address or a list of them, each once.
pub(in crate::config) fn read(section: &mut Section<'_>) -> Vec<Placed<ListenAddress>> {
    let Some(item) = section.take("listen") else { return Vec::new() };
    let items = item.one_or_list();
    if items.is_empty() {
        item.wrong("`listen` is empty", "write where clients connect, as in \"127.0.0.1:8080\"");
    }
    let mut all: Vec<Placed<ListenAddress>> = Vec::new();
    for item in &items {
        let Some(address) = one(item) else { continue };
        let covers = |one: &ListenAddress, other: &ListenAddress| one.covers(other, std::slice::from_ref(other));
        match all.iter().find(|known| covers(&known.value, &address) || covers(&address, &known.value)) {
            Some(known) if known.value.to_string() == address.to_string() => {
                item.wrong(format!("{} is there twice", quote(&address.to_string())), "keep one of the two");
            }
            Some(known) => {
                let (wide, narrow) =
                    if covers(&known.value, &address) { (&known.value, &address) } else { (&address, &known.value) };
                item.wrong(
                    format!("`{wide}` takes `{narrow}` too"),
                    "keep one of the two, or give them different ports",
                );
            }
            None => all.push(item.place(address)),
        }
    }
    all
}

/// An address and port, for what cannot be a Unix socket.
pub(super) fn tcp(item: &Item<'_>) -> Option<SocketAddr> {
    match address(item)? {
        ListenAddress::Tcp(address) => Some(address),
        ListenAddress::Unix(_) | ListenAddress::Passed(_) | ListenAddress::Tls(_) => {
            item.wrong("this must be an address and a port", "write one, as in \"0.0.0.0:8080\"");
            None
        }
    }
}

/// An address alone, or a table that says who may connect to its Unix socket.
fn one(item: &Item<'_>) -> Option<ListenAddress> {
    if !item.is_table() {
        return address(item);
    }
    let mut table = item.section("listen", "\"127.0.0.1:8080\"")?;
    let address_item = table.require("address", "add address = \"unix:/run/lb.sock\"");
    let (mode_item, group_item) = (table.take("mode"), table.take("group"));
    table.finish();
    let mode = mode_item.as_ref().map(mode);
    let group = group_item.as_ref().map(identity::group);
    let address = address(&address_item?)?;
    match address.place() {
        ListenAddress::Unix(socket) => {
            let (mode, group) = (mode.unwrap_or(Some(socket.mode))?, group.unwrap_or(Some(None))?);
            let socket = ListenAddress::Unix(UnixSocket { mode, group, path: socket.path.clone() });
            Some(if address.encrypts() { ListenAddress::Tls(Box::new(socket)) } else { socket })
        }
        place => {
            let help = match place {
                ListenAddress::Passed(_) => "leave it out: the .socket unit says it (SocketMode=, SocketGroup=)",
                _ => "leave it out: every client that reaches the port may connect; a firewall can restrict that",
            };
            for item in [mode_item, group_item].into_iter().flatten() {
                item.key_wrong(format!("`{}` is for Unix sockets", item.key), help);
            }
            Some(address)
        }
    }
}

/// The mode of a socket's file: reading and writing, for the owner at least.
fn mode(item: &Item<'_>) -> Option<u32> {
    let text = item.text("\"0660\"")?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| digits.len() >= 3 && mode & !0o666 == 0);
    match mode {
        Some(mode) if mode & MODE == MODE => Some(mode),
        _ => {
            let help = "write \"0600\" for our own account, \"0660\" for its group too, or \"0666\" for every account";
            item.wrong(format!("{} is not the mode of a socket", quote(text)), help);
            None
        }
    }
}

fn address(item: &Item<'_>) -> Option<ListenAddress> {
    if let Some(port) = item.as_integer().and_then(|port| u16::try_from(port).ok()) {
        item.wrong("`listen` must be an address and a port", format!("write {}", suggest(port)));
        return None;
    }
    let text = item.text("\"127.0.0.1:8080\"")?;
    match text.strip_prefix("tls:") {
        None => place(item, text),
        Some(_) if cfg!(not(feature = "tls")) => {
            item.wrong(
                "this balancer was built without TLS",
                "use one that was built with the feature `tls`, or write the address alone",
            );
            None
        }
        Some(encrypted) => Some(ListenAddress::Tls(Box::new(place(item, encrypted)?))),
    }
}

fn place(item: &Item<'_>, text: &str) -> Option<ListenAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(item, path).map(|path| ListenAddress::Unix(UnixSocket::new(path)));
    }
    if let Some(name) = text.strip_prefix("fd:") {
        return passed::name(item, name).map(ListenAddress::Passed);
    }
    if let Some((ip, zone, port)) = zoned(text) {
        let Some(index) = interface(zone) else {
            item.wrong(format!("there is no interface {}", quote(zone)), "`ip address` shows those of this machine");
            return None;
        };
        return Some(ListenAddress::Tcp(SocketAddrV6::new(ip, port, 0, index).into()));
    }
    text.parse().map(ListenAddress::Tcp).map_err(|_| item.wrong(wrong(text), right(text))).ok()
}

/// `[fe80::1%eth0]:80`: address, zone, which is an interface's name or number, and port (RFC 4007 §11).
pub(super) fn zoned(text: &str) -> Option<(Ipv6Addr, &str, u16)> {
    let (inside, port) = text.strip_prefix('[')?.split_once("]:")?;
    let (ip, zone) = inside.split_once('%')?;
    let is_zone = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && !b"%/[]:".contains(&byte));
    is_zone.then_some(())?;
    Some((ip.parse().ok()?, zone, port.parse().ok()?))
}

/// The number of the interface that a zone names (sysfs, /sys/class/net/NAME/ifindex).
pub(super) fn interface(zone: &str) -> Option<u32> {
    let read = || std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok()?.trim().parse().ok();
    zone.parse().ok().or_else(read)
}

/// The path of a Unix socket, absolute and short enough for the kernel.
pub(super) fn unix_path(item: &Item<'_>, path: &str) -> Option<PathBuf> {
    let (message, help) = if !path.starts_with('/') {
        let absolute = path.trim_start_matches(['/', '.']);
        let help = format!(
            "write the whole path, as in \"unix:/run/{}\"",
            if absolute.is_empty() { "lb.sock" } else { absolute }
        );
        ("a Unix socket needs an absolute path".to_owned(), help)
    } else if path.ends_with('/') {
        (format!("{} is a directory, not a socket", quote(path)), "write the path of the socket".to_owned())
    } else if path.len() > UNIX_PATH_MAX {
        let help = format!("{UNIX_PATH_MAX} bytes are the most the kernel takes, this has {}", path.len());
        ("the path of this Unix socket is too long".to_owned(), help)
    } else {
        return Some(PathBuf::from(path));
    };
    item.wrong(message, help);
    None
}

/// Of a socket that nothing is said of.
const MODE: u32 = 0o600;

/// `sun_path` holds 108 bytes, the last a NUL; see unix(7).
const UNIX_PATH_MAX: usize = 107;
