//! The beginning of a connection to an encrypted listener: what the client says first, the certificate it is shown, the keys.
//!
//! Bounded in time by `header_timeout`, in what is read before the client has said whom it wants by [`HELLO_MAX`], and in number by
//! [`HANDSHAKES_MAX`]: beyond it the one that has taken longest ends, for honest clients are done after a turn or two.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::server::{Accepted, AcceptedAlert, Acceptor};

use super::idle::alarm::Alarm;
use crate::net::{Buffer, Peer, Socket};
use crate::tls::{Certificates, QUESTION};

/// Handshakes of one thread that are not over.
#[derive(Debug)]
pub(super) struct Shaking {
    certificates: Arc<Certificates>,
    alarms: RefCell<BTreeMap<u64, Rc<Alarm>>>,
    next: Cell<u64>,
}

/// One of them; dropping it strikes it out.
#[derive(Debug)]
struct Entered<'a>(&'a Shaking, u64);

/// Why a connection goes no further.
#[derive(Debug)]
pub(super) enum Failed {
    /// The client speaks HTTP without TLS.
    Plain(Socket),
    /// It has taken too long, or others need its place.
    Ended,
    /// What went wrong, for whoever looks for it.
    Broken(io::Error),
}

impl Shaking {
    /// None yet; clients will be shown these.
    pub(super) fn new(certificates: &Arc<Certificates>) -> Self {
        Self { certificates: Arc::clone(certificates), alarms: RefCell::default(), next: Cell::default() }
    }

    /// Shakes hands with `peer`, of whom some was `read` already, the alarm of whose connection is set to the time when that is too late.
    pub(super) async fn with(
        &self,
        (socket, read, peer): (Socket, Buffer, Peer),
        alarm: &Rc<Alarm>,
    ) -> Result<Socket, Failed> {
        let _entered = self.enter(alarm);
        let mut steps = Box::pin(greet((socket, read), peer, &self.certificates));
        poll_fn(|cx| match steps.as_mut().poll(cx) {
            Poll::Pending if alarm.is_dismissed() || alarm.rung().is_some() => Poll::Ready(Err(Failed::Ended)),
            polled => polled,
        })
        .await
    }

    fn enter(&self, alarm: &Rc<Alarm>) -> Entered<'_> {
        let (mut alarms, key) = (self.alarms.borrow_mut(), self.next.get());
        self.next.set(key + 1);
        if alarms.len() >= HANDSHAKES_MAX
            && let Some((_, oldest)) = alarms.pop_first()
        {
            oldest.dismiss();
        }
        alarms.insert(key, Rc::clone(alarm));
        Entered(self, key)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.alarms.borrow_mut().remove(&self.1);
    }
}

async fn greet(
    (mut socket, mut incoming): (Socket, Buffer),
    peer: Peer,
    certificates: &Certificates,
) -> Result<Socket, Failed> {
    let mut acceptor = Acceptor::default();
    let accepted = match hear(&mut socket, &mut acceptor, &mut incoming).await? {
        Heard::Hello(accepted) => *accepted,
        Heard::Http => return Err(Failed::Plain(socket.greeting(false))),
        Heard::Nonsense(error, alert) => return Err(refuse(&socket, error, alert)),
    };
    let hello = accepted.client_hello();
    let name = hello.server_name().map(str::to_owned);
    let is_question = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == QUESTION));
    let found = if is_question { certificates.question(name.as_deref()) } else { certificates.find(name.as_deref()) };
    let config = found.map_or_else(
        || {
            if let Some(name) = name.as_deref().filter(|name| !is_question && certificates.is_news(name)) {
                let whose = peer.ip().map_or_else(|| "a local client".to_owned(), |ip| ip.to_string());
                tracing::warn!("{whose} asks by TLS for {name}, for which there is no certificate: it is refused; that is told once");
            }
            certificates.refusing()
        },
        Ok,
    );
    let tls = accepted.into_connection(config.map_err(broken)?);
    let mut socket = match tls {
        Ok(tls) => socket.encrypted(tls, incoming),
        Err((error, alert)) => return Err(refuse(&socket, error, alert)),
    };
    poll_fn(|cx| socket.poll_handshake(cx)).await.map_err(Failed::Broken)?;
    // A CA has seen what it wanted to see.
    if is_question { Err(Failed::Ended) } else { Ok(socket) }
}

/// What a client says first.
enum Heard {
    Hello(Box<Accepted>),
    Http,
    Nonsense(rustls::Error, AcceptedAlert),
}

/// Listens until it is known; what follows is left in `incoming`.
async fn hear(socket: &mut Socket, acceptor: &mut Acceptor, incoming: &mut Buffer) -> Result<Heard, Failed> {
    let mut read = 0;
    loop {
        let length = match incoming.len() {
            0 => poll_fn(|cx| socket.poll_read(cx, incoming)).await.map_err(Failed::Broken)?,
            // Behind the header of a proxy.
            before => before,
        };
        match length {
            0 => return Err(Failed::Broken(io::ErrorKind::UnexpectedEof.into())),
            // A method is in capital letters, and no record begins with one.
            _ if read == 0 && incoming.unread()[0].is_ascii_uppercase() => return Ok(Heard::Http),
            length => read += length,
        }
        while !incoming.is_empty() {
            let mut bytes = incoming.unread();
            let before = bytes.len();
            acceptor.read_tls(&mut bytes).map_err(Failed::Broken)?;
            let used = before - bytes.len();
            incoming.consume(used);
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Heard::Hello(Box::new(accepted))),
                Ok(None) if used > 0 => {}
                Ok(None) => break,
                Err((error, alert)) => return Ok(Heard::Nonsense(error, alert)),
            }
        }
        if read > HELLO_MAX {
            return Err(Failed::Broken(io::Error::other("the client says too much before it says whom it wants")));
        }
    }
}

/// Tells the client why, if its kernel takes it at once.
fn refuse(socket: &Socket, error: rustls::Error, mut alert: AcceptedAlert) -> Failed {
    let mut said = Vec::new();
    if alert.write_all(&mut said).is_ok() {
        socket.write_now(&said);
    }
    broken(error)
}

fn broken(error: rustls::Error) -> Failed {
    Failed::Broken(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Of one thread. A client that has nothing else to say takes some KiB meanwhile, one that is up to mischief [`HELLO_MAX`].
const HANDSHAKES_MAX: usize = 4_096;
/// A first message with every extension there is, and keys that no quantum computer breaks, has 2 KiB.
const HELLO_MAX: usize = 16 * 1024;

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
