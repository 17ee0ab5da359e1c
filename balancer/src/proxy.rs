//! The spine: a request's life from its head to its answer.
//!
//! Decides nothing itself; calls the rooms that do, one after another. Called by `listen` for every request. Never touches
//! a socket.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::config::{AccessLog as AccessLogConfig, ClientLimits};
use crate::forward::{self, ClientFields, Exchange, Fault, Forwarder, Scan};
use crate::http1::RequestHead;
use crate::listen::{Refusal, Service, Stream};
use crate::net::Peer;
use crate::observe::{Head, Ids, Metrics, Observer, Record, RequestId, Writer};
use crate::pool::Pool;
use crate::route::Table;

/// What all threads share.
#[derive(Debug)]
pub struct Shared {
    /// Routes and pools, swapped whole at a reload.
    pub table: ArcSwap<Table>,
    /// Limits towards clients.
    pub limits: ClientLimits,
    /// Peers whose statements are believed.
    pub trusted: Vec<IpNet>,
    /// How requests are logged.
    pub access_log: AccessLogConfig,
    /// How many they were and what became of them.
    pub metrics: Arc<Metrics>,
}

/// Answers the requests of one thread.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    forwarder: Forwarder,
    ids: RefCell<Ids>,
    observer: Rc<Observer>,
    /// What is said of the client that connected last: who opens a connection per request comes again at once.
    last: RefCell<Option<(Option<IpAddr>, Rc<ClientFields>)>>,
}

impl Proxy {
    /// The proxy of a thread.
    pub fn new(shared: Arc<Shared>, writer: &Writer) -> Self {
        let observer = Observer::new(&shared.access_log, writer, &shared.metrics);
        let forwarder = Forwarder::new(shared.limits.clone());
        Self { shared, forwarder, ids: RefCell::default(), observer, last: RefCell::default() }
    }

    /// The forwarder, whose idle connections want to be reaped.
    pub fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// The thread's runtime ends: what the access log still gets is handed over when the last request is dropped.
    pub fn close_log(&self) {
        self.observer.close();
    }

    /// Route, forward, respond, record.
    async fn serve(&self, head: &RequestHead, mut exchange: Exchange<'_>) {
        let patience = self.shared.limits.body_timeout;
        let answered = async {
            let scan = Scan::of(head)?;
            let admitted = forward::admit(head, &scan)?;
            if scan.ends_here() {
                return Ok(false);
            }
            let pool = self.route(admitted.host, admitted.path())?;
            exchange.record().routed(pool.name());
            self.forwarder.forward(&pool, &mut exchange, scan, &admitted).await.map(|()| true)
        };
        match answered.await {
            Ok(true) => {}
            Ok(false) => Box::pin(exchange.answer_here(patience)).await,
            Err(fault) => Box::pin(exchange.explain(fault, patience)).await,
        }
    }

    fn route(&self, host: &[u8], path: &str) -> Result<Arc<Pool>, Fault> {
        let table = self.shared.table.load();
        table.find(host, path).cloned().ok_or(Fault::NoRoute)
    }

    fn client_fields(&self, address: Option<IpAddr>) -> Rc<ClientFields> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((of, fields)) if *of == address => Rc::clone(fields),
            _ => {
                // Whoever may open our Unix socket was let in by its permissions: a proxy in front of us.
                let trusted = address.is_none_or(|ip| self.shared.trusted.iter().any(|net| net.contains(&ip)));
                let fields = Rc::new(ClientFields::new(address, trusted));
                *last = Some((address, Rc::clone(&fields)));
                fields
            }
        }
    }

    /// The story of a request begins.
    fn record(&self, peer: Peer, begun: Instant, request: Option<Arc<RequestHead>>) -> (Record, RequestId) {
        let id = self.ids.borrow_mut().next(begun);
        let head = Head { begun, client: peer.ip(), request, id: *id.id() };
        (Record::new(&self.observer, head), id)
    }
}

impl Service for Proxy {
    type Connection = Rc<ClientFields>;

    fn connected(&self, peer: Peer) -> Rc<ClientFields> {
        self.client_fields(peer.ip())
    }

    async fn answer(&self, client: &Rc<ClientFields>, stream: &mut Stream) {
        let Some(head) = stream.head().map(Arc::clone) else { return };
        let (record, id) = self.record(stream.peer(), stream.begun(), Some(Arc::clone(&head)));
        if let Some(exchange) = Exchange::new(stream, client, id, record) {
            self.serve(&head, exchange).await;
        }
    }

    fn refused(&self, peer: Peer, begun: Instant, refusal: Refusal) -> String {
        let (mut record, id) = self.record(peer, begun, None);
        record.rejected(refusal.status(), refusal.reason());
        id.text().to_owned()
    }
}
