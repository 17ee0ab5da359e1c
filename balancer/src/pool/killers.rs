//! Clients whose requests have killed workers, however they spell the path: pure.
//!
//! Decides which client is refused what is like the requests that its workers died of. Called by [`super::deaths`] under the lock of
//! the table. Never counts a death twice, and never what a worker has answered meanwhile.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use xxhash_rust::xxh3::Xxh3Default;

use super::deadly::{Asked, Barred, Dead, DeathRefusal, Led, Whom};
use super::moment::{DeadlyRequest, DeathEvidence, counted};
use super::queue::forecast::Kind;
use super::suspects::{COUNTED_FOR, REFUSED_FOR};
use crate::http1::normalised;
use crate::net::Client;

/// Deaths with a request of a single client in flight, and what that client is refused. Both are bounded.
#[derive(Debug, Default)]
pub(super) struct Killers {
    /// Oldest first.
    deaths: Vec<Death>,
    refused: Vec<RefusedKind>,
}

#[derive(Debug)]
struct RefusedKind {
    client: Client,
    kind: Kind,
    until: Instant,
    method: Method,
    /// As it was written the last time.
    path: String,
    deaths: usize,
}

#[derive(Debug)]
struct Death {
    client: Client,
    /// Of the path as servers read it.
    kind: Kind,
    /// Of method and path as they were written: an answer to the same clears it.
    spelling: u64,
    worker: crate::endpoint::EndpointId,
    named: Arc<str>,
    held: DeadlyRequest,
    at: Instant,
}

impl Killers {
    /// A worker has died with these in flight, each with its id; returns what is refused from now on.
    pub(super) fn died(
        &mut self,
        dead: &Dead,
        requests: &[(Asked<'_>, DeadlyRequest)],
        deaths_max: u32,
        now: Instant,
    ) -> Vec<DeathRefusal> {
        self.forget(now);
        if deaths_max == 0 {
            return Vec::new();
        }
        let of_clients = || requests.iter().filter_map(|(asked, held)| Some((asked, asked.client?, held)));
        for (asked, client, held) in of_clients() {
            let (kind, spelling) = (kind(asked), spelling(asked));
            let is_it = |death: &Death| (death.client, death.spelling, death.worker) == (client, spelling, dead.worker);
            if self.deaths.iter().any(is_it) {
                continue;
            }
            if self.deaths.len() == DEATHS_MAX {
                self.deaths.remove(0);
            }
            let (worker, named) = (dead.worker, Arc::clone(&dead.named));
            self.deaths.push(Death { client, kind, spelling, worker, named, held: *held, at: now });
        }
        of_clients().filter_map(|(asked, client, _)| self.refuse(asked, client, deaths_max, now)).collect()
    }

    /// Until when it must not reach a worker, if it must not.
    pub(super) fn refuses(&mut self, asked: &Asked<'_>, now: Instant) -> Option<Instant> {
        self.forget(now);
        let client = asked.client.filter(|_| !self.refused.is_empty())?;
        self.refusal(client, kind(asked)).map(|refused| refused.until)
    }

    /// All that is refused.
    pub(super) fn refused(&mut self, now: Instant) -> Vec<Barred> {
        self.forget(now);
        let barred = |refused: &RefusedKind| Barred {
            method: refused.method.clone(),
            path: refused.path.clone(),
            whom: Whom::Spellings(refused.client),
            until: refused.until,
            deaths: refused.deaths,
        };
        self.refused.iter().map(barred).collect()
    }

    /// A worker has answered it, and lives.
    pub(super) fn answered(&mut self, asked: &Asked<'_>) {
        let Some(client) = asked.client.filter(|_| !self.deaths.is_empty()) else { return };
        let spelling = spelling(asked);
        self.deaths.retain(|death| (death.client, death.spelling) != (client, spelling));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deaths.is_empty() && self.refused.is_empty()
    }

    fn refusal(&self, client: Client, kind: Kind) -> Option<&RefusedKind> {
        self.refused.iter().find(|refused| (refused.client, refused.kind) == (client, kind))
    }

    /// Refuses all of that kind to the client, if enough workers have died and it is not refused already.
    fn refuse(&mut self, asked: &Asked<'_>, client: Client, deaths_max: u32, now: Instant) -> Option<DeathRefusal> {
        let kind = kind(asked);
        if self.refusal(client, kind).is_some() || self.refused.len() == REFUSED_MAX {
            return None;
        }
        let mut deaths: Vec<&Death> = Vec::new();
        for death in self.deaths.iter().filter(|death| (death.client, death.kind) == (client, kind)) {
            if !deaths.iter().any(|other| other.worker == death.worker) {
                deaths.push(death);
            }
        }
        let evidence = |death: &Death| {
            let held = self
                .deaths
                .iter()
                .filter(|other| (other.client, other.kind, other.worker) == (client, kind, death.worker));
            DeathEvidence { at: death.at, with: held.map(|other| other.held).collect() }
        };
        let evidence: Vec<DeathEvidence> = deaths.iter().copied().map(evidence).collect();
        let deaths: Vec<&Death> = counted(&evidence).into_iter().map(|at| deaths[at]).collect();
        if deaths.len() < deaths_max.saturating_mul(TIMES) as usize {
            return None;
        }
        let led = |death: &Death| Led {
            worker: Arc::clone(&death.named),
            ago: now.saturating_duration_since(death.at),
            client: Some(client),
            id: death.held.id,
        };
        let deaths: Vec<Led> = deaths.into_iter().map(led).collect();
        let (method, path, count) = (asked.method.clone(), asked.path.to_owned(), deaths.len());
        let refused = RefusedKind { client, kind, until: now + REFUSED_FOR, method, path, deaths: count };
        let (method, path) = (refused.method.clone(), refused.path.clone());
        self.refused.push(refused);
        Some(DeathRefusal { method, path, whom: Whom::Spellings(client), deaths })
    }

    fn forget(&mut self, now: Instant) {
        self.deaths.retain(|death| now.saturating_duration_since(death.at) < COUNTED_FOR);
        self.refused.retain(|refused| refused.until > now);
    }
}

/// The kind of what a server reads: encodings, empty and dot segments make no difference, nor does `HEAD` for `GET`.
fn kind(asked: &Asked<'_>) -> Kind {
    let method = if asked.method == Method::HEAD { &Method::GET } else { asked.method };
    Kind::of(method, &normalised(asked.path))
}

fn spelling(asked: &Asked<'_>) -> u64 {
    let mut hasher = Xxh3Default::new();
    (asked.method, asked.path).hash(&mut hasher);
    hasher.finish()
}

/// As often as of one spelling: what is refused is more.
const TIMES: u32 = 2;
/// For each of many clients at each of many workers; more explain nothing.
const DEATHS_MAX: usize = 1_024;
const REFUSED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Address;
    use crate::endpoint::Endpoint;

    fn client(number: u8) -> Option<Client> {
        Some(Client::of([192, 0, 2, number].into()))
    }

    fn asked<'a>(method: &'a Method, path: &'a str, number: u8) -> Asked<'a> {
        Asked { method, path, client: client(number) }
    }

    /// Another worker dies at each call of a request that it got just before; three deaths of one spelling are allowed.
    fn died(killers: &mut Killers, request: Asked<'_>, now: Instant) -> usize {
        let worker = Endpoint::of_worker("app.1".into(), Address::Unix("/w".into()), None).id();
        let dead = Dead { worker, named: "app.1 (pid 7)".into() };
        let id = 2 * (killers.deaths.len() % 100) as u8;
        let held = |id| DeadlyRequest { id: [id; 32], given: now };
        killers.died(&dead, &[(request, held(id)), (request, held(id + 1))], 3, now).len()
    }

    const SPELLINGS: [&str; 6] = ["/item/1", "/item/2", "//item/3", "/%69tem/4", "/x/../item/5", "/item/./6"];

    #[test]
    fn six_deaths_by_one_client_refuse_it_every_spelling_for_a_minute() {
        let (mut killers, now) = (Killers::default(), Instant::now());
        for (after, path) in (0..).zip(SPELLINGS) {
            let refused = died(&mut killers, asked(&Method::GET, path, 1), now + Duration::from_secs(after));
            assert_eq!(refused, usize::from(after == 5));
        }
        let now = now + Duration::from_secs(5);
        let barred = killers.refused(now).pop().unwrap();
        assert_eq!((barred.path.as_str(), barred.deaths, barred.until), ("/item/./6", 6, now + REFUSED_FOR));
        let mut refuses = |request, after| killers.refuses(&request, now + Duration::from_secs(after)).is_some();
        assert!(refuses(asked(&Method::GET, "/item/77", 1), 1) && refuses(asked(&Method::HEAD, "/item/9", 1), 59));
        for other in
            [asked(&Method::GET, "/item/1", 2), asked(&Method::POST, "/item/1", 1), asked(&Method::GET, "/", 1)]
        {
            assert!(!refuses(other, 1), "{other:?}");
        }
        assert!(!refuses(asked(&Method::GET, "/item/77", 1), 60));
        assert!(killers.is_empty());
    }

    #[test]
    fn what_is_answered_and_what_is_old_does_not_count() {
        let (mut killers, now) = (Killers::default(), Instant::now());
        for (after, path) in (0..5).zip(SPELLINGS) {
            died(&mut killers, asked(&Method::GET, path, 1), now + Duration::from_secs(after));
        }
        killers.answered(&asked(&Method::GET, "/item/2", 1));
        let now = now + Duration::from_secs(5);
        assert_eq!(died(&mut killers, asked(&Method::GET, "/item/6", 1), now), 0);
        assert_eq!(died(&mut killers, asked(&Method::GET, "/item/7", 1), now + COUNTED_FOR), 0);
    }

    #[test]
    fn workers_that_are_killed_at_once_refuse_nothing() {
        let (mut killers, now) = (Killers::default(), Instant::now());
        for (after, path) in (0..).zip(SPELLINGS) {
            let at = now + Duration::from_millis(after);
            assert_eq!(died(&mut killers, asked(&Method::GET, path, 1), at), 0);
        }
        assert!(killers.refused(now).is_empty());
    }

    #[test]
    fn many_deaths_take_no_more_room() {
        let (mut killers, now) = (Killers::default(), Instant::now());
        for number in 0..2_000 {
            died(&mut killers, asked(&Method::GET, &format!("/{}", "a".repeat(number % 30)), number as u8), now);
        }
        assert!(killers.deaths.len() <= DEATHS_MAX && killers.refused.len() <= REFUSED_MAX);
    }
}
