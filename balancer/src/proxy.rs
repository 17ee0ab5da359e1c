//! The spine: a request's life from its head to its answer.
//!
//! Decides nothing itself; calls the rooms that do, one after another. Called by `listen` for every request. Never touches
//! a socket.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use ipnet::IpNet;

use crate::config::{AccessLog as AccessLogConfig, ClientLimits};
use crate::forward::{self, ClientFields, Fault, Forwarder, Inbound, Party, RequestFields, ResponseBody, Scan};
use crate::listen::{self, Client, Refusal, Service};
use crate::observe::{Head, Ids, MethodLabel, Metrics, Observer, Record, RequestId, Writer};
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

/// What is kept of a connection between its requests.
#[derive(Debug)]
pub struct Connection {
    client: Rc<Client>,
    fields: Rc<ClientFields>,
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
    async fn serve(&self, connection: &Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        let (head, body) = request.into_parts();
        let own = self.ids.borrow_mut().next(connection.client.begun());
        let id = own.id.clone();
        let mut record = self.begin_record(connection, &head, &id);
        let answered = async {
            let scan = Scan::of(&head)?;
            let admitted = forward::admit(&head, &scan, connection.client.is_serverwide())?;
            if scan.ends_here() {
                if let Some(record) = &mut record {
                    record.answered(StatusCode::OK);
                }
                return Ok(Response::new(ResponseBody::Empty));
            }
            let table = self.shared.table.load();
            let pool = table.find(admitted.host.as_bytes(), admitted.target.path()).ok_or(Fault::NoRoute)?;
            let pool = Arc::clone(pool);
            drop(table);
            if let Some(record) = &mut record {
                record.routed(pool.name());
            }
            let inbound = Inbound {
                head: &head,
                scan: &scan,
                admitted,
                body,
                client: &connection.client,
                client_fields: &connection.fields,
                own_fields: RequestFields { id: own.id, start: own.start, trace: own.trace },
            };
            self.forwarder.forward(&pool, inbound, &mut record).await
        };
        match answered.await {
            Ok(response) => response,
            Err(fault) => explain(fault, &id, connection.client.is_unread(), record),
        }
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

    fn begin_record(&self, connection: &Connection, head: &Parts, id: &HeaderValue) -> Option<Box<Record>> {
        let (begun, method) = (connection.client.begun(), MethodLabel::from(&head.method));
        if !self.observer.has_log() {
            return Some(Box::new(Record::new(&self.observer, Head::counted(begun, method))));
        }
        let field = |name| head.headers.get(name).cloned();
        let head = Head {
            begun,
            client: connection.client.peer().ip(),
            method,
            line: Some((head.method.clone(), head.uri.clone(), head.version)),
            host: field(header::HOST),
            referer: field(header::REFERER),
            agent: field(header::USER_AGENT),
            id: id.clone(),
        };
        Some(Box::new(Record::new(&self.observer, head)))
    }
}

impl Service for Proxy {
    type Connection = Connection;
    type Body = ResponseBody;

    fn connected(&self, client: &Rc<Client>) -> Connection {
        Connection { client: Rc::clone(client), fields: self.client_fields(client.peer().ip()) }
    }

    async fn answer(&self, connection: Rc<Connection>, request: Request<Incoming>) -> Response<ResponseBody> {
        self.serve(&connection, request).await
    }

    fn refused(&self, client: &Client, refusal: Refusal) -> HeaderValue {
        let RequestId { id, .. } = self.ids.borrow_mut().next(client.begun());
        let head = Head {
            client: client.peer().ip(),
            id: id.clone(),
            ..Head::counted(client.begun(), MethodLabel::default())
        };
        Record::new(&self.observer, head).rejected(refusal.status(), refusal.reason());
        id
    }
}

/// An answer of ours: what happened, in words, and the id under which the log has it.
fn explain(fault: Fault, id: &HeaderValue, unread: bool, record: Option<Box<Record>>) -> Response<ResponseBody> {
    let (party, status, reason) = fault.explain();
    let text = listen::text(status, reason, id.to_str().unwrap_or_default());
    if let Some(mut record) = record {
        record.rejected(status, reason);
        record.sent(text.len());
    }
    let mut response = Response::new(ResponseBody::Text(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(forward::X_REQUEST_ID, id.clone());
    if let Some(seconds) = fault.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if party == Party::Client || unread {
        // What follows on the connection may be anything, or the rest of a body nobody wants.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
