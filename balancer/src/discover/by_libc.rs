//! Questions to the resolver of libc, in a program built without one of its own: a name has addresses, and that is all it knows.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use super::answer::{DnsAnswer, DnsFailure, FoundPlace, Part};
use super::resolve::Resolve;
use crate::config::DnsName;

/// Asks as every other program of this machine does. An answer takes as long as resolv.conf allows.
#[derive(Debug)]
pub struct Resolver(Arc<Semaphore>);

impl Default for Resolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(QUESTIONS_MAX)))
    }
}

impl Resolve for Resolver {
    async fn host(&self, name: &str) -> DnsAnswer<IpAddr> {
        match self.ask(name.to_owned()).await {
            Ok(found) => {
                let (v4, v6) = found.into_iter().partition(IpAddr::is_ipv4);
                DnsAnswer { v4: Part::of(v4), v6: Part::of(v6), unknown: false }
            }
            Err(error) => DnsAnswer::failed(&DnsFailure::Refused(error.to_string())),
        }
    }

    async fn places(&self, name: &DnsName) -> DnsAnswer<FoundPlace> {
        match name.port {
            Some(port) => self.host(&name.name).await.at(port),
            None => DnsAnswer::failed(&DnsFailure::Refused("this balancer was built without SRV records".to_owned())),
        }
    }
}

impl Resolver {
    /// libc blocks who asks. The thread is one of our own, for the end of the program waits for those of the runtime.
    async fn ask(&self, name: String) -> io::Result<BTreeSet<IpAddr>> {
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let (tell, told) = oneshot::channel();
        let ask = move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            // Nobody waits any more where the name has left the file.
            let _ = tell.send(found.map(|found| found.map(|address: SocketAddr| address.ip()).collect()));
            drop(permit);
        };
        thread::Builder::new().name("names".to_owned()).spawn(ask)?;
        told.await.map_err(io::Error::other)?
    }
}

/// At once: each is a thread, and a server that is silent holds it for half a minute.
const QUESTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_has_the_addresses_that_libc_knows() {
        let answer = Resolver::default().host("localhost").await;
        assert!(
            answer.v4.found.iter().chain(&answer.v6.found).all(IpAddr::is_loopback) && answer.is_found(),
            "{answer:?}"
        );
        let none = Resolver::default().host("no-such-name.invalid").await;
        assert!(!none.is_found() && none.v4.failed.is_some(), "{none:?}");
    }
}
