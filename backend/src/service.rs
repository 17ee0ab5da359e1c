//! What is done to every request before its route is.
//!
//! Decides the order: count, burn, wait, read, answer. Called by hyper for each request. Never knows what a route answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use tokio::sync::Semaphore;

use crate::body::Body;
use crate::routes::{self, Reply};
use crate::takeover::{Busy, ConnectionState, Takeover};
use crate::worker::{InFlight, Worker};
use crate::{cpu, report};

/// The requests of one connection.
pub(crate) struct Service {
    worker: Arc<Worker>,
    shared: Arc<ConnectionState>,
}

impl Service {
    pub(crate) fn new(worker: Arc<Worker>, shared: Arc<ConnectionState>) -> Service {
        Service { worker, shared }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = hyper::Error;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        if let Some(response) = report::observe(&self.worker, &request) {
            return Answering::Now(Some(response));
        }
        let options = &self.worker.options;
        let in_flight = self.worker.request_begun();
        let busy = self.shared.busy();
        if let Some(id) = request.headers().get("x-test-id") {
            self.worker.saw(id.as_bytes());
        }
        if let Some(slots) = self.worker.slots.clone() {
            return Answering::Later(Box::pin(in_turn(
                slots,
                self.worker.clone(),
                self.shared.clone(),
                request,
                in_flight,
                busy,
            )));
        }
        cpu::burn(options.work().cpu);
        let delay = self.worker.delay();
        if delay.is_zero()
            && request.body().is_end_stream()
            && let Some(response) = routes::instant(request.uri().path())
        {
            return Answering::Now(Some(response.map(|body| body.holding(in_flight, busy))));
        }
        Answering::Later(Box::pin(answer(self.worker.clone(), self.shared.clone(), request, delay, in_flight, busy)))
    }
}

/// The same once it is its turn: a slot is free again when the answer has begun.
async fn in_turn(
    slots: Arc<Semaphore>,
    worker: Arc<Worker>,
    shared: Arc<ConnectionState>,
    request: Request<Incoming>,
    in_flight: InFlight,
    busy: Busy,
) -> hyper::Result<Response<Body>> {
    // Nobody closes it.
    let _slot = slots.acquire_owned().await.ok();
    cpu::burn(worker.options.work().cpu);
    let delay = worker.delay();
    answer(worker, shared, request, delay, in_flight, busy).await
}

async fn answer(
    worker: Arc<Worker>,
    shared: Arc<ConnectionState>,
    mut request: Request<Incoming>,
    delay: Duration,
    in_flight: InFlight,
    busy: Busy,
) -> hyper::Result<Response<Body>> {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if routes::wants_body_read(request.uri().path()) {
        while let Some(frame) = request.body_mut().frame().await {
            frame?;
        }
    }
    let takeover = match routes::reply(&worker, request).await? {
        Reply::Answer(response) => return Ok(response.map(|body| body.holding(in_flight, busy))),
        Reply::Last(response) => {
            shared.take_over(Takeover::Linger);
            return Ok(response.map(|body| body.holding(in_flight, busy)));
        }
        Reply::Echo(response) => {
            shared.take_over(Takeover::Echo(in_flight));
            return Ok(response);
        }
        Reply::WebSocket(response, ping) => {
            shared.take_over(Takeover::WebSocket(ping, in_flight));
            return Ok(response);
        }
        Reply::Raw(raw) => Some(Takeover::Raw(raw, in_flight)),
        Reply::Reset => Some(Takeover::Reset),
        Reply::Never => None,
    };
    if let Some(takeover) = takeover {
        shared.take_over(takeover);
    }
    // Nothing comes from here: the connection is taken over, or hangs until its client leaves.
    std::future::pending().await
}

/// An answer that is there, or one that is worked on.
pub(crate) enum Answering {
    Now(Option<Response<Body>>),
    Later(Pin<Box<dyn Future<Output = hyper::Result<Response<Body>>> + Send>>),
}

impl Future for Answering {
    type Output = hyper::Result<Response<Body>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Answering::Now(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            Answering::Later(answer) => answer.as_mut().poll(cx),
        }
    }
}
