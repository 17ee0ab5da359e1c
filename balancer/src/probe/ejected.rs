//! Ejected endpoints are asked for a connection as long as there are requests for their pool.
//!
//! An endpoint that could not be reached and can be again is on probation at once, not when its time is over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Permits;
use crate::endpoint::{Endpoint, EndpointId};
use crate::net::connect;
use crate::pool::Pool;

/// Asks the ejected endpoints of all pools until it is dropped.
#[derive(Debug)]
pub struct Scout {
    permits: Permits,
    /// How many requests a pool had at the last look.
    requests: HashMap<Arc<str>, usize>,
    asked: HashSet<EndpointId>,
    asking: JoinSet<EndpointId>,
}

impl Scout {
    /// Shares the `permits` of other probes.
    pub fn new(permits: Permits) -> Self {
        Self { permits, requests: HashMap::new(), asked: HashSet::new(), asking: JoinSet::new() }
    }

    /// One look at the pools there are, which asks each of their ejected endpoints once.
    pub fn look<'p>(&mut self, pools: impl Iterator<Item = &'p Arc<Pool>>) {
        while let Some(answered) = self.asking.try_join_next() {
            if let Ok(id) = answered {
                self.asked.remove(&id);
            }
        }
        for pool in pools {
            let requests = pool.requests();
            let came = self.requests.insert(Arc::clone(pool.name()), requests) != Some(requests);
            if !(came || pool.figures().is_some_and(|figures| figures.queued > 0)) {
                continue;
            }
            for endpoint in pool.endpoints() {
                if endpoint.is_ejected() && endpoint.accepts() && self.asked.insert(endpoint.id()) {
                    self.asking.spawn(ask(Arc::clone(pool), endpoint, self.permits.clone()));
                }
            }
        }
    }
}

async fn ask(pool: Arc<Pool>, endpoint: Arc<Endpoint>, permits: Permits) -> EndpointId {
    let _permit = permits.take().await;
    // An endpoint that serves one connection at a time would have no room for another. Given back last: whoever waits has a look.
    let slot = pool.reserve(&endpoint);
    if slot.is_some() || !pool.has_slots() {
        let asked = async { connect(&endpoint.addresses().await, &pool.encryption(&endpoint)).await };
        let answer = timeout(pool.timeouts().connect, asked).await;
        endpoint.reached(matches!(answer, Ok(Ok(_))));
    }
    endpoint.id()
}
