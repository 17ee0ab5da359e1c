//! The spine: a request's life from its head to its answer.
//!
//! Decides nothing itself; calls the rooms that do, one after another. Called by `listen` for every request. Never touches
//! a socket.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::watch;

use crate::config::{AccessLog as AccessLogConfig, ClientLimits, Config, ListenAddress};
use crate::forward::{self, ClientFields, Exchange, Fault, Forwarder, Here, Scan};
use crate::http1::RequestHead;
use crate::listen::{Refusal, Service, Stream};
use crate::net::Peer;
use crate::observe::{Head, Ids, Metrics, Observer, Record, RequestId, Stories, Writer};
use crate::pool::Pool;
use crate::route::{Ambiguous, Table};
use crate::spool::Spool;
use crate::tls::Certificates;

/// What all threads share.
#[derive(Debug)]
pub struct ProxyState {
    /// Routes and pools, swapped whole at a reload.
    pub table: ArcSwap<Table>,
    /// What a reload may change besides.
    pub settings: watch::Sender<Settings>,
    /// How many they were and what became of them.
    pub metrics: Arc<Metrics>,
    /// Those that somebody may ask about.
    pub stories: Arc<Stories>,
    /// Hosts that can be asked over TLS.
    pub certificates: Arc<Certificates>,
}

/// How clients are treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits towards them.
    pub limits: ClientLimits,
    /// Peers whose statements are believed.
    pub trusted: Arc<[IpNet]>,
    /// How requests are logged.
    pub access_log: AccessLogConfig,
    /// Whether they are remembered when they are over.
    pub explain: bool,
    /// Where bodies wait that are too large to be held in memory.
    pub spool: Option<Spool>,
    /// The port at which clients without TLS are told to ask with it; `None`: they are not told.
    pub redirect: Option<u16>,
    /// `Strict-Transport-Security` of responses over TLS.
    pub hsts: Option<Arc<str>>,
}

impl Settings {
    /// Those of a configuration.
    pub fn of(config: &Config, spool: Option<Spool>) -> Self {
        let trusted = config.trusted_proxies.as_slice().into();
        let explain = config.admin.explain;
        let hsts = config.tls.hsts.map(|age| format!("max-age={}", age.as_secs()).into());
        Self {
            limits: config.client.clone(),
            trusted,
            access_log: config.access_log.clone(),
            explain,
            spool,
            redirect: redirect(config),
            hsts,
        }
    }
}

/// The port of the first encrypted listener, unless one has the usual one or it is not known.
fn redirect(config: &Config) -> Option<u16> {
    let encrypted = config.listen.iter().filter(|address| address.encrypts());
    let ports: Vec<u16> = encrypted
        .map(|address| match address.place() {
            ListenAddress::Tcp(address) if address.port() != 0 => address.port(),
            _ => HTTPS,
        })
        .collect();
    let usual = ports.contains(&HTTPS).then_some(HTTPS);
    usual.or(ports.first().copied()).filter(|_| config.tls.redirect_https)
}

/// RFC 9110 §4.2.2.
const HTTPS: u16 = 443;

/// The client of a connection, and whether it speaks TLS.
type Whose = (Option<IpAddr>, bool);

/// Answers the requests of one thread.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<ProxyState>,
    forwarder: Forwarder,
    ids: RefCell<Ids>,
    observer: Rc<Observer>,
    writer: Writer,
    trusted: RefCell<Arc<[IpNet]>>,
    redirect: Cell<Option<u16>>,
    hsts: RefCell<Option<Arc<str>>>,
    /// As it was when those above were taken from it, so that no change of it is missed.
    settings: watch::Receiver<Settings>,
    /// What is said of the client that connected last: who opens a connection per request comes again at once.
    last: RefCell<Option<(Whose, Rc<ClientFields>)>>,
}

impl Proxy {
    /// The proxy of a thread.
    pub fn new(shared: Arc<ProxyState>, writer: &Writer) -> Self {
        let mut settings = shared.settings.subscribe();
        let Settings { limits, trusted, access_log, explain, spool, redirect, hsts } =
            settings.borrow_and_update().clone();
        let observer = Observer::new(&access_log, writer, &shared.metrics);
        observer.remember(explain.then_some(&shared.stories));
        let (forwarder, trusted, writer) = (Forwarder::new(limits, spool), RefCell::new(trusted), writer.clone());
        let (ids, last) = Default::default();
        let (redirect, hsts) = (Cell::new(redirect), RefCell::new(hsts));
        Self { shared, forwarder, ids, observer, writer, trusted, redirect, hsts, settings, last }
    }

    /// Takes other settings whenever there are some: for the next request, and for connections to come whom they are believed from.
    pub async fn follow(&self) {
        let mut settings = self.settings.clone();
        // The sender is this very value's.
        while settings.changed().await.is_ok() {
            let Settings { limits, trusted, access_log, explain, spool, redirect, hsts } =
                settings.borrow_and_update().clone();
            self.forwarder.configure(limits, spool);
            self.observer.configure(&access_log, &self.writer);
            self.observer.remember(explain.then_some(&self.shared.stories));
            self.trusted.replace(trusted);
            self.redirect.set(redirect);
            self.hsts.replace(hsts);
            self.last.replace(None);
        }
    }

    /// The forwarder, whose idle connections want to be reaped.
    pub fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// Route, forward, respond, record.
    async fn serve(&self, exchange: &mut Exchange<'_>) {
        let (head, patience) = (Arc::clone(exchange.head()), self.forwarder.limits().body_timeout);
        let answered = async {
            let scan = Scan::of(&head, &self.forwarder.limits().upgrades)?;
            let admitted = forward::admit(&head, &scan)?;
            if scan.ends_here() {
                return Ok(Some(Here::Nothing));
            }
            // Before everything that could send a CA elsewhere.
            if let Some(answer) = self.answer_to_ca(admitted.path()) {
                return Ok(Some(Here::Text(answer)));
            }
            if let Some(port) = self.redirect.get()
                && let Some(place) = exchange.place_by_tls(&admitted, port, |host| self.shared.certificates.has(host))
            {
                return Ok(Some(Here::Elsewhere(place)));
            }
            let pool = self.route(admitted.host, admitted.path())?;
            exchange.record().routed(pool.name());
            self.forwarder.forward(&pool, exchange, scan, &admitted).await.map(|()| None)
        };
        match answered.await {
            Ok(None) => {}
            Ok(Some(here)) => Box::pin(exchange.answer_here(here, patience)).await,
            Err(fault) => Box::pin(exchange.explain(fault, patience)).await,
        }
    }

    /// What a CA gets that looks whether a name is ours, where it is expected to (RFC 8555 §8.3).
    fn answer_to_ca(&self, path: &str) -> Option<String> {
        self.shared.certificates.answer_to(path.strip_prefix("/.well-known/acme-challenge/")?)
    }

    fn route(&self, host: &[u8], path: &str) -> Result<Arc<Pool>, Fault> {
        let table = self.shared.table.load();
        match table.find(host, path) {
            Ok(found) => found.cloned().ok_or(Fault::NoRoute),
            Err(Ambiguous) => Err(Fault::AmbiguousTarget),
        }
    }

    fn client_fields(&self, address: Option<IpAddr>, encrypted: bool) -> Rc<ClientFields> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((of, fields)) if *of == (address, encrypted) => Rc::clone(fields),
            _ => {
                // Whoever may open our Unix socket was let in by its permissions: a proxy in front of us.
                let trusted = address.is_none_or(|ip| self.trusted.borrow().iter().any(|net| net.contains(&ip)));
                let hsts = self.hsts.borrow().clone().filter(|_| encrypted);
                let fields = Rc::new(ClientFields::new(address, trusted, encrypted).with_hsts(hsts));
                *last = Some(((address, encrypted), Rc::clone(&fields)));
                fields
            }
        }
    }

    /// A request begins, and its story; `None` where there is no request.
    fn begin<'a>(&self, client: &'a ClientFields, stream: &'a mut Stream) -> Option<Exchange<'a>> {
        let request = Arc::clone(stream.head()?);
        let peer = stream.peer().ip();
        // Asked of those alone whose word counts: others pay nothing for it.
        let who = match client.are_trusted() {
            true => forward::client_behind(&request.fields, peer, &self.trusted.borrow()),
            false => peer,
        };
        let (record, id) = self.record(who, stream.begun(), Some(request));
        Exchange::new(stream, client, id, record)
    }

    fn record(&self, client: Option<IpAddr>, begun: Instant, request: Option<Arc<RequestHead>>) -> (Record, RequestId) {
        let id = self.ids.borrow_mut().next(begun);
        let head = Head { begun, client, request, id: *id.id() };
        (Record::new(&self.observer, head), id)
    }
}

impl Service for Proxy {
    type Connection = Rc<ClientFields>;

    fn connected(&self, peer: Peer, encrypted: bool) -> Rc<ClientFields> {
        self.client_fields(peer.ip(), encrypted)
    }

    async fn answer(&self, client: &Rc<ClientFields>, stream: &mut Stream) {
        // Borrowed, so that it stands once in the state of the request.
        let mut begun = self.begin(client, stream);
        let Some(exchange) = &mut begun else { return };
        self.serve(exchange).await;
    }

    fn refused(&self, peer: Peer, begun: Instant, refusal: Refusal) -> String {
        let (mut record, id) = self.record(peer.ip(), begun, None);
        record.rejected(refusal.status(), refusal.reason());
        id.text().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the future that `begin` makes of an `A`.
    fn size_of_future<A, F>(_begin: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_in_flight_takes_little_memory() {
        type Arguments = (&'static Proxy, &'static Rc<ClientFields>, &'static mut Stream);
        let size = size_of_future(|(proxy, client, stream): Arguments| proxy.answer(client, stream));
        // The bar is 4 KiB with the connection; below 2 KiB it is moved without a loop.
        assert!(size < 2 * 1024, "{size}");
    }
}
