//! What the workers can do alone.
//!
//! Decides how it is found: each worker is asked directly, one request after the other. Called by [`super::overload`].
//! Never goes through a balancer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::crowd::visit::{End, visit};
use crate::events::Events;
use crate::failure::Failure;
use crate::service::Service;

/// Requests a second, all workers together.
///
/// # Errors
/// A worker does not answer 200, or a signal came meanwhile.
pub(super) fn measure(workers: &[Service], events: &Events) -> Result<f64, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::system("start the clients", e))?;
    let ports: Vec<u16> = workers.iter().map(|worker| worker.port).collect();
    let counted = runtime.block_on(async {
        let mut clients = JoinSet::new();
        for port in ports {
            clients.spawn(one_after_the_other(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        clients.join_all().await
    });
    events.wait_any(&[], Duration::ZERO)?;
    let rates: Option<Vec<f64>> = counted.into_iter().collect();
    let rates = rates.filter(|rates| !rates.is_empty());
    let rates = rates.ok_or_else(|| Failure::Missing("a worker does not answer 200 when asked directly".to_owned()))?;
    Ok(rates.iter().sum())
}

/// Answers a second; `None` when one was no 200.
async fn one_after_the_other(address: SocketAddr) -> Option<f64> {
    let (started, mut count) = (Instant::now(), 0_u32);
    // At least one, however long it takes.
    while count == 0 || started.elapsed() < TIME {
        match visit(address, "/", PATIENCE).await {
            End::Answered { status: 200, .. } => count += 1,
            _ => return None,
        }
    }
    Some(f64::from(count) / started.elapsed().as_secs_f64())
}

const TIME: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);
