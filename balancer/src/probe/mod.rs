//! Probes: every endpoint of a pool is asked again and again, besides the requests it gets.
//!
//! Decides when an endpoint is asked the next time, and what counts as an answer. Called by `app`, on the control thread; an
//! endpoint is asked the same whether it is a worker of ours or not. Never keeps the verdict, which is the endpoint's.

mod ejected;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::config;
use crate::endpoint::{Endpoint, EndpointId};
use crate::net::{Answer, connect, get};
use crate::pool::Pool;
use crate::shown;
pub use ejected::Scout;

/// Asks the endpoints of one pool until it is dropped.
#[derive(Debug)]
pub struct Prober(AbortHandle);

/// How many probes may be under way at once, over all pools: whatever the endpoints do, the control thread has other work.
#[derive(Debug, Clone)]
pub struct Permits(Arc<Semaphore>);

/// Why a probe failed.
#[derive(Debug)]
pub enum Failure {
    /// There was no connection, or none that lasted for an answer.
    Io(io::Error),
    /// There was no answer within this time.
    Silent(Duration),
    /// The answer had this status.
    Status(u16),
}

impl Prober {
    /// Begins with those that are there, at once, and goes on with whoever becomes a member.
    pub fn start(pool: Arc<Pool>, probe: config::Probe, permits: Permits) -> Self {
        Self(tokio::spawn(watch(pool, Arc::new(probe), permits)).abort_handle())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Default for Permits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PROBES_MAX)))
    }
}

impl Permits {
    /// One of them, once there is one.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // It fails only when the semaphore is closed, and nobody closes it.
        self.0.acquire().await.ok()
    }
}

/// One question to an endpoint that is no member of the pool yet.
///
/// # Errors
/// Why it was not answered well.
pub async fn ask_once(
    pool: &Pool,
    endpoint: &Endpoint,
    probe: &config::Probe,
    permits: &Permits,
) -> Result<(), Failure> {
    let _permit = permits.take().await;
    if let Some(answer) = ask(pool, endpoint, probe).await? {
        answer.finish().await;
    }
    Ok(())
}

/// One task for each member, for as long as it is one.
async fn watch(pool: Arc<Pool>, probe: Arc<config::Probe>, permits: Permits) {
    let mut asked: HashMap<EndpointId, JoinSet<()>> = HashMap::new();
    loop {
        let members = pool.endpoints();
        asked.retain(|id, _| members.iter().any(|member| member.id() == *id));
        for member in members {
            asked.entry(member.id()).or_insert_with(|| {
                let mut task = JoinSet::new();
                task.spawn(ask_for_ever(Arc::clone(&pool), member, Arc::clone(&probe), permits.clone()));
                task
            });
        }
        pool.changed().await;
    }
}

async fn ask_for_ever(pool: Arc<Pool>, endpoint: Arc<Endpoint>, probe: Arc<config::Probe>, permits: Permits) {
    let mut rng: SmallRng = rand::make_rng();
    loop {
        let mut failed = false;
        if endpoint.accepts() {
            let _permit = permits.take().await;
            let slot = pool.reserve(&endpoint);
            if pool.has_slots() && slot.is_none() {
                // The requests in all of its slots say how it is; a question would wait behind them, and they behind it.
                sleep(pause(probe.interval, endpoint.is_down(), &mut rng)).await;
                continue;
            }
            let answer = ask(&pool, &endpoint, &probe).await;
            failed = answer.is_err();
            endpoint.probed(answer.as_ref().map(drop).map_err(|failure| failure as &dyn fmt::Display));
            if let Ok(Some(answer)) = answer {
                answer.finish().await;
            }
        }
        sleep(pause(probe.interval, failed || endpoint.is_down(), &mut rng)).await;
    }
}

/// One question; the rest of a good answer is still to be read.
async fn ask(pool: &Pool, endpoint: &Endpoint, probe: &config::Probe) -> Result<Option<Answer>, Failure> {
    let encryption = pool.encryption(endpoint);
    let asked = async {
        let addresses = endpoint.addresses().await;
        match &probe.question {
            None => connect(&addresses, &encryption).await.map(|_| None),
            Some(question) => get(&addresses, &encryption, endpoint.address(), question).await.map(Some),
        }
    };
    match timeout(probe.timeout, asked).await {
        Err(_) => Err(Failure::Silent(probe.timeout)),
        Ok(Err(error)) => Err(Failure::Io(error)),
        Ok(Ok(Some(answer))) if !probe.status.contains(answer.status) => Err(Failure::Status(answer.status)),
        Ok(Ok(answer)) => Ok(answer),
    }
}

/// Until the next question: sooner where the last answer and the verdict do not agree, or the endpoint is waited for; a
/// little more or less each time, so that several of us do not ask in step.
fn pause(interval: Duration, in_doubt: bool, rng: &mut impl Rng) -> Duration {
    let interval = if in_doubt { interval / FASTER } else { interval };
    interval.mul_f64(rng.random_range(1.0 - JITTER..=1.0 + JITTER))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Silent(time) => write!(f, "no answer within {}", shown::time(*time)),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// Each holds a descriptor for up to its time-out.
const PROBES_MAX: usize = 64;
const FASTER: u32 = 4;
const JITTER: f64 = 0.1;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_pause_is_jittered_and_a_quarter_in_doubt() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut pauses = |in_doubt| -> Vec<u128> {
            (0..200).map(|_| pause(Duration::from_secs(2), in_doubt, &mut rng).as_millis()).collect()
        };
        let (calm, doubtful) = (pauses(false), pauses(true));
        assert!(calm.iter().all(|pause| (1_800..=2_200).contains(pause)), "{calm:?}");
        assert!(doubtful.iter().all(|pause| (450..=550).contains(pause)), "{doubtful:?}");
        assert!(calm.iter().any(|pause| *pause < 1_900) && calm.iter().any(|pause| *pause > 2_100), "{calm:?}");
    }
}
