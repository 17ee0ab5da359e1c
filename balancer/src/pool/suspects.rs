//! What workers may have died of: pure.
//!
//! Decides which method and path is refused for a while, for whom, and of which deaths that follows. Called by
//! [`super::query_of_death`] under its lock. Never counts what has not killed: a closed connection is no death.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use super::deadly::{Asked, Barred, Dead, DeathRefusal, Led, Whom};
use super::moment::{DeadlyRequest, DeathEvidence, counted};
use crate::endpoint::EndpointId;
use crate::net::Client;

/// What was in flight when workers died. Its size is bounded.
#[derive(Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Debug)]
struct Suspect {
    method: Method,
    path: Box<str>,
    /// Oldest first, each worker once.
    deaths: Vec<Death>,
    /// When a worker answered it last, whoever had asked.
    answered: Option<Instant>,
    /// Who is refused, until when, and after how many deaths.
    refused: Vec<(Whom, Instant, usize)>,
}

#[derive(Debug)]
struct Death {
    worker: EndpointId,
    named: Arc<str>,
    at: Instant,
    /// Who had it in flight, and which requests.
    clients: Vec<(Option<Client>, DeadlyRequest)>,
}

impl Suspects {
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
        let known = requests.iter().filter(|(asked, _)| asked.path.len() <= PATH_BYTES_MAX);
        for (asked, held) in known.clone() {
            self.suspect(asked).add(dead, (asked.client, *held), now);
        }
        let mut refusals = Vec::new();
        for (asked, _) in known {
            let Some(suspect) = self.find_mut(asked) else { continue };
            refusals.extend(suspect.refuse(Whom::Client(asked.client), deaths_max, now));
            refusals.extend(suspect.refuse(Whom::Everybody, deaths_max, now));
        }
        refusals
    }

    /// Until when it must not reach a worker, if it must not.
    pub(super) fn refuses(&mut self, asked: &Asked<'_>, now: Instant) -> Option<Instant> {
        self.forget(now);
        let is_meant = |whom: Whom| whom == Whom::Client(asked.client) || whom == Whom::Everybody;
        let refused = self.find(asked)?.refused.iter().filter(|(whom, ..)| is_meant(*whom));
        refused.map(|(_, until, _)| *until).max()
    }

    /// All that is refused.
    pub(super) fn refused(&mut self, now: Instant) -> Vec<Barred> {
        self.forget(now);
        let all = self.0.iter().flat_map(|suspect| suspect.refused.iter().map(move |refused| (suspect, refused)));
        let barred = |(suspect, (whom, until, deaths)): (&Suspect, &(Whom, Instant, usize))| Barred {
            method: suspect.method.clone(),
            path: suspect.path.to_string(),
            whom: *whom,
            until: *until,
            deaths: *deaths,
        };
        all.map(barred).collect()
    }

    /// A worker has answered it, and lives: what this client asks is innocent, and nobody is refused for what others do.
    pub(super) fn answered(&mut self, asked: &Asked<'_>, now: Instant) {
        if let Some(suspect) = self.find_mut(asked) {
            suspect.answered = Some(now);
            // What is refused and answered all the same was under way before.
            if !suspect.is_refused(Whom::Client(asked.client)) {
                suspect.acquit(asked.client);
            }
        }
        self.0.retain(Suspect::is_one);
    }

    /// Deaths with it in flight that count, those of the workers `cut` included: they may not be known to be dead yet. This client may
    /// be acquitted of some.
    pub(super) fn deaths(&mut self, asked: &Asked<'_>, cut: &[EndpointId], now: Instant) -> usize {
        self.forget(now);
        let known = self.find(asked).map_or(Vec::new(), |it| it.of(asked.client).collect());
        let unknown = cut.iter().filter(|worker| !known.iter().any(|death| death.worker == **worker)).count();
        cut.len().max(unknown + those_that_count(known, Whom::Client(asked.client)).len())
    }

    /// Whether that worker is known to have died with it in flight.
    pub(super) fn knows(&self, worker: EndpointId, asked: &Asked<'_>) -> bool {
        self.find(asked).is_some_and(|it| it.deaths.iter().any(|death| death.worker == worker))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, asked: &Asked<'_>) -> Option<&Suspect> {
        self.0.iter().find(|suspect| suspect.is(asked))
    }

    fn find_mut(&mut self, asked: &Asked<'_>) -> Option<&mut Suspect> {
        self.0.iter_mut().find(|suspect| suspect.is(asked))
    }

    /// The one there is, or a new one. In a full table the oldest gives way, of those that are not refused if there is one.
    fn suspect(&mut self, asked: &Asked<'_>) -> &mut Suspect {
        let at = self.0.iter().position(|suspect| suspect.is(asked)).unwrap_or_else(|| {
            if self.0.len() == SUSPECTS_MAX {
                self.0.remove(self.0.iter().position(|suspect| suspect.refused.is_empty()).unwrap_or(0));
            }
            let (method, path) = (asked.method.clone(), asked.path.into());
            self.0.push(Suspect { method, path, deaths: Vec::new(), answered: None, refused: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn forget(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|suspect| suspect.forget(now));
        self.0.retain(Suspect::is_one);
    }
}

impl Suspect {
    fn is(&self, asked: &Asked<'_>) -> bool {
        self.method == *asked.method && *self.path == *asked.path
    }

    /// Whether there is still something against it.
    fn is_one(&self) -> bool {
        !self.deaths.is_empty() || !self.refused.is_empty()
    }

    fn is_refused(&self, whom: Whom) -> bool {
        self.refused.iter().any(|(refused, ..)| *refused == whom)
    }

    fn add(&mut self, dead: &Dead, request: (Option<Client>, DeadlyRequest), now: Instant) {
        let at = self.deaths.iter().position(|death| death.worker == dead.worker).unwrap_or_else(|| {
            if self.deaths.len() == DEATHS_MAX {
                self.deaths.remove(0);
            }
            let (worker, named) = (dead.worker, Arc::clone(&dead.named));
            self.deaths.push(Death { worker, named, at: now, clients: Vec::new() });
            self.deaths.len() - 1
        });
        let death = &mut self.deaths[at];
        if !death.clients.contains(&request) {
            death.clients.push(request);
        }
    }

    /// Refuses it to somebody, if enough have died of it and he is not refused already.
    fn refuse(&mut self, whom: Whom, deaths_max: u32, now: Instant) -> Option<DeathRefusal> {
        if self.is_refused(whom) || self.refused.len() == REFUSED_MAX {
            return None;
        }
        let deaths: Vec<&Death> = match whom {
            Whom::Client(client) => self.of(client).collect(),
            Whom::Everybody => self.unanswered(),
            Whom::Spellings(_) => return None,
        };
        let deaths = those_that_count(deaths, whom);
        if deaths.len() < deaths_max as usize || whom == Whom::Everybody && !have_different_clients(&deaths) {
            return None;
        }
        let deaths: Vec<Led> = deaths.into_iter().filter_map(|death| death.led_to(whom, now)).collect();
        self.refused.push((whom, now + REFUSED_FOR, deaths.len()));
        Some(DeathRefusal { method: self.method.clone(), path: self.path.to_string(), whom, deaths })
    }

    fn of(&self, client: Option<Client>) -> impl Iterator<Item = &Death> {
        self.deaths.iter().filter(move |death| death.is_of(client))
    }

    /// The deaths since it was answered last.
    fn unanswered(&self) -> Vec<&Death> {
        self.deaths.iter().filter(|death| self.answered.is_none_or(|answered| death.at > answered)).collect()
    }

    fn acquit(&mut self, client: Option<Client>) {
        self.deaths.iter_mut().for_each(|death| death.clients.retain(|(other, _)| *other != client));
        self.deaths.retain(|death| !death.clients.is_empty());
    }

    fn forget(&mut self, now: Instant) {
        self.deaths.retain(|death| now.saturating_duration_since(death.at) < COUNTED_FOR);
        for at in (0..self.refused.len()).rev() {
            if self.refused[at].1 <= now {
                // It begins anew.
                match self.refused.swap_remove(at).0 {
                    Whom::Client(client) => self.acquit(client),
                    Whom::Everybody => self.deaths.clear(),
                    Whom::Spellings(_) => {}
                }
            }
        }
    }
}

impl Death {
    fn is_of(&self, client: Option<Client>) -> bool {
        self.clients.iter().any(|(other, _)| *other == client)
    }

    fn led_to(&self, whom: Whom, now: Instant) -> Option<Led> {
        let (client, held) = *self.clients.iter().find(|(client, _)| is_one_of(*client, whom))?;
        Some(Led { worker: Arc::clone(&self.named), ago: now.saturating_duration_since(self.at), client, id: held.id })
    }

    fn has_clients(&self) -> usize {
        let is_first = |at: &usize| self.clients[..*at].iter().all(|(client, _)| *client != self.clients[*at].0);
        (0..self.clients.len()).filter(is_first).count()
    }
}

fn is_one_of(client: Option<Client>, whom: Whom) -> bool {
    whom == Whom::Everybody || whom == Whom::Client(client)
}

/// Those that can have been caused one after another by what they ask, see [`counted`].
fn those_that_count(deaths: Vec<&Death>, whom: Whom) -> Vec<&Death> {
    let evidence = |death: &&Death| {
        let his = death.clients.iter().filter(|(client, _)| is_one_of(*client, whom));
        DeathEvidence { at: death.at, with: his.map(|(_, held)| *held).collect() }
    };
    counted(&deaths.iter().map(evidence).collect::<Vec<_>>()).into_iter().map(|at| deaths[at]).collect()
}

/// Whether there are three deaths without a client in common: whoever is there whenever a worker dies is one cause, however
/// many others were there too.
fn have_different_clients(deaths: &[&Death]) -> bool {
    let mut deaths = deaths.to_vec();
    deaths.sort_by_key(|death| death.has_clients());
    let mut apart: Vec<&Death> = Vec::new();
    for death in deaths {
        let shares = |other: &&Death| other.clients.iter().any(|(client, _)| death.is_of(*client));
        if !apart.iter().any(shares) {
            apart.push(death);
        }
        if apart.len() == CLIENTS_MIN {
            return true;
        }
    }
    false
}

/// How long a death counts, and how long is refused what it has led to; of paths and of clients alike.
pub(super) const COUNTED_FOR: Duration = Duration::from_secs(60);
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(60);
/// One client, or two that are one person's, refuse nothing to others.
const CLIENTS_MIN: usize = 3;
const SUSPECTS_MAX: usize = 256;
/// Of one method and path: as many as `query_of_death` may ask for.
const DEATHS_MAX: usize = 100;
/// Clients, and everybody.
const REFUSED_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 2_048;

#[cfg(test)]
#[path = "suspects_tests.rs"]
mod tests;
