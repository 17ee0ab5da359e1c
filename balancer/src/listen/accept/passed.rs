//! Listeners that whoever started us has opened: systemd's socket activation (sd_listen_fds(3)).

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Socket, Type};

use crate::config::{ListenAddress, UnixSocket};

/// What was passed and nobody has taken yet. Closed when it is dropped.
#[derive(Debug, Default)]
pub struct Passed {
    /// By name, which need not be unique.
    descriptors: Vec<(String, OwnedFd)>,
    /// Why nothing of it can be used.
    problem: Option<String>,
}

impl Passed {
    /// Takes over what was passed to this process, once: a second time there is nothing. Must be called before anything else is
    /// opened, for all that is known of a descriptor is its number. Programs that we start do not inherit it.
    pub fn to_this_process() -> Self {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Self::default();
        }
        // Whether each is open, and that none is inherited, is seen to here; there, a number becomes a descriptor that is owned.
        let names: Vec<String> = match sd_notify::listen_fds_with_names() {
            Ok(named) => named.map(|(_, name)| name).collect(),
            Err(error) => return Self::unusable(&error.to_string()),
        };
        match sd_listen_fds::get() {
            Ok(owned) => {
                let owned = owned.into_iter().map(|(_, descriptor)| descriptor.into_std());
                Self { descriptors: names.into_iter().zip(owned).collect(), problem: None }
            }
            Err(error) => Self::unusable(&error.to_string()),
        }
    }

    /// The first of what was passed, for a program that is passed one thing only.
    pub fn into_first(self) -> Option<OwnedFd> {
        self.descriptors.into_iter().next().map(|(_, descriptor)| descriptor)
    }

    fn unusable(error: &str) -> Self {
        let problem = format!("what $LISTEN_FDS and $LISTEN_FDNAMES say was passed is not there: {error}");
        Self { descriptors: Vec::new(), problem: Some(problem) }
    }

    /// Why nothing of what was passed can be used.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty() && self.problem.is_none()
    }

    /// The listener called `name`, and where it listens.
    ///
    /// # Errors
    /// In words, with what to do: there is none or several of that name, or it does not listen.
    pub(in crate::listen) fn take(&mut self, name: &str) -> io::Result<(ListenAddress, Socket)> {
        if let Some(problem) = &self.problem {
            return Err(io::Error::new(io::ErrorKind::NotFound, problem.clone()));
        }
        let called: Vec<usize> =
            (0..self.descriptors.len()).filter(|&index| self.descriptors[index].0 == name).collect();
        match called[..] {
            [] => Err(io::Error::new(io::ErrorKind::NotFound, self.missing())),
            [index] => listening(self.descriptors.remove(index).1)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why)),
            _ => {
                let why = format!(
                    "{} descriptors were passed under this name; give each of them a .socket unit of its own, with one ListenStream= \
                     and a FileDescriptorName=",
                    called.len()
                );
                Err(io::Error::new(io::ErrorKind::InvalidInput, why))
            }
        }
    }

    /// What nobody has taken, in words for whoever wrote the .socket unit.
    pub fn left(&self) -> Vec<String> {
        let told = |(name, descriptor): &(String, OwnedFd)| {
            let bound = descriptor.try_clone().map_err(|error| error.to_string()).and_then(listening);
            let address = bound.map(|(address, _)| format!(" ({address})")).unwrap_or_default();
            format!(
                "descriptor {name}{address} was passed, but no listener uses it, so clients wait there: write \"fd:{name}\" into \
                 `listen`, or remove it from the .socket unit"
            )
        };
        self.descriptors.iter().map(told).collect()
    }

    /// That there is none of a name, and what there is.
    fn missing(&self) -> String {
        let mut names: Vec<&str> = self.descriptors.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        match names[..] {
            [] => "it was not passed; start balancer by the .socket unit that has FileDescriptorName= with this name, or write an address"
                .to_owned(),
            _ => format!(
                "it was not passed, but {}; write that, or give it this name by FileDescriptorName= in its .socket unit",
                names.iter().map(|name| format!("fd:{name}")).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

/// Where it listens; the error is why it does not.
fn listening(descriptor: OwnedFd) -> Result<(ListenAddress, Socket), String> {
    let socket = Socket::from(descriptor);
    let no_socket = |error: io::Error| format!("it is no socket ({error}); write ListenStream= in its .socket unit");
    let (domain, kind) = (socket.domain().map_err(no_socket)?, socket.r#type().map_err(no_socket)?);
    if kind != Type::STREAM {
        return Err("it is a socket without connections; write ListenStream= in its .socket unit".to_owned());
    }
    if !socket.is_listener().map_err(no_socket)? {
        return Err("it does not listen; write Accept=no in its .socket unit, so that balancer accepts".to_owned());
    }
    let bound = socket.local_addr().map_err(no_socket)?;
    let address = match (bound.as_socket(), domain) {
        (Some(address), _) => ListenAddress::Tcp(address),
        (None, Domain::UNIX) => {
            let name = || bound.as_abstract_namespace().map(|name| format!("@{}", String::from_utf8_lossy(name)));
            let path = bound.as_pathname().map(PathBuf::from).or_else(|| name().map(PathBuf::from));
            ListenAddress::Unix(UnixSocket::new(path.unwrap_or_default()))
        }
        _ => {
            return Err("it takes neither TCP nor Unix connections; write an address with a port, or a path".to_owned());
        }
    };
    Ok((address, socket))
}

static TAKEN: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn passed(all: Vec<(&str, OwnedFd)>) -> Passed {
        let descriptors = all.into_iter().map(|(name, descriptor)| (name.to_owned(), descriptor)).collect();
        Passed { descriptors, problem: None }
    }

    fn refused(passed: &mut Passed, name: &str) -> String {
        passed.take(name).unwrap_err().to_string()
    }

    #[test]
    fn a_listener_is_taken_by_its_name_once() {
        let (tcp, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let address = tcp.local_addr().unwrap();
        let mut all = passed(vec![("web", tcp.into()), ("other", other.into())]);
        assert_eq!(all.take("web").unwrap().0, ListenAddress::Tcp(address));
        let left = all.left();
        assert!(left.len() == 1 && left[0].starts_with("descriptor other ([::1]:"), "{left:?}");
        assert!(refused(&mut all, "web").starts_with("it was not passed, but fd:other; "));
        let none = refused(&mut Passed::default(), "web");
        assert!(none.starts_with("it was not passed; start balancer by the .socket unit"), "{none}");
    }

    #[test]
    fn unix_listeners_are_taken_with_and_without_a_path() {
        let path = std::env::temp_dir().join(format!("balancer-passed-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let mut all = passed(vec![("file", listener.into())]);
        assert_eq!(all.take("file").unwrap().0, ListenAddress::Unix(UnixSocket::new(&path)));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_what_to_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let twice = listener.try_clone().unwrap();
        let mut all = passed(vec![
            ("connection", connection.into()),
            ("datagrams", datagrams.into()),
            ("file", file.into()),
            ("twice", listener.into()),
            ("twice", twice.into()),
        ]);
        assert!(refused(&mut all, "connection").contains("write Accept=no"));
        assert!(refused(&mut all, "datagrams").contains("write ListenStream="));
        assert!(refused(&mut all, "file").starts_with("it is no socket (Socket operation on non-socket"));
        assert!(refused(&mut all, "twice").starts_with("2 descriptors were passed under this name; "));
        let mut unusable = Passed::unusable("Bad file descriptor");
        assert!(refused(&mut unusable, "web").contains("is not there: Bad file descriptor"));
    }
}
