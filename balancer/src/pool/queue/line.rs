//! Those who wait, in the order of their turns.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;
use std::time::Instant;

use super::forecast::Kind;
use super::lane::Lane;
use crate::endpoint::EndpointId;
use crate::net::Client;
use crate::pool::key::RoutingKey;

/// Three lanes of waiters, each in the order of turns: who comes back for another attempt stands where it stood.
#[derive(Debug, Default)]
pub(super) struct Line {
    fast: BTreeMap<u64, Waiter>,
    slow: BTreeMap<u64, Waiter>,
    kept: BTreeMap<u64, Waiter>,
    clients: HashMap<Client, usize>,
}

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(in crate::pool) since: Instant,
    pub(in crate::pool) routing: RoutingKey,
    /// Waits for this endpoint alone, as long as it serves.
    pub(in crate::pool) only: Option<EndpointId>,
    pub(in crate::pool) tried: Vec<EndpointId>,
    pub(in crate::pool) client: Option<Client>,
    pub(in crate::pool) kind: Kind,
    /// Whether it will wait for its client while it has a place.
    pub(in crate::pool) streams: bool,
    /// What it was expected to be when it came.
    pub(in crate::pool) lane: Lane,
    pub(in crate::pool) waker: Option<Waker>,
}

impl Line {
    pub(in crate::pool) fn len(&self) -> usize {
        self.lanes().into_iter().map(BTreeMap::len).sum()
    }

    pub(in crate::pool) fn is_empty(&self) -> bool {
        self.lanes().into_iter().all(BTreeMap::is_empty)
    }

    /// How many requests of a client wait.
    pub(super) fn of_client(&self, client: Client) -> usize {
        self.clients.get(&client).copied().unwrap_or(0)
    }

    /// The client of which most requests wait, and how many.
    pub(in crate::pool) fn largest(&self) -> Option<(Client, usize)> {
        self.clients.iter().max_by_key(|(_, count)| **count).map(|(client, count)| (*client, *count))
    }

    pub(in crate::pool) fn enter(&mut self, turn: u64, waiter: Waiter) {
        if let Some(client) = waiter.client {
            *self.clients.entry(client).or_default() += 1;
        }
        self.lane_mut(waiter.lane).insert(turn, waiter);
    }

    pub(in crate::pool) fn leave(&mut self, turn: u64) -> Option<Waiter> {
        let waiter = self.lanes_mut().into_iter().find_map(|lane| lane.remove(&turn))?;
        if let Some(client) = waiter.client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        Some(waiter)
    }

    /// What a client has waiting, of what `may_keep` names by its kind and by whether its body streams, waits in the lane of slow clients
    /// from now on.
    pub(super) fn hold_back(&mut self, client: Client, may_keep: impl Fn(Kind, bool) -> bool) {
        let alike =
            |_: &u64, waiter: &mut Waiter| waiter.client == Some(client) && may_keep(waiter.kind, waiter.streams);
        for lane in [&mut self.fast, &mut self.slow] {
            for (turn, mut waiter) in lane.extract_if(.., &alike) {
                waiter.lane = Lane::Kept;
                self.kept.insert(turn, waiter);
            }
        }
    }

    /// Takes out the one with the oldest turn.
    pub(super) fn leave_oldest(&mut self) -> Option<(u64, Waiter)> {
        let turn = self.lanes().into_iter().filter_map(|lane| lane.keys().next()).min().copied()?;
        Some((turn, self.leave(turn)?))
    }

    pub(super) fn set_waker(&mut self, turn: u64, waker: &Waker) {
        let waiter = self.lanes_mut().into_iter().find_map(|lane| lane.get_mut(&turn));
        if let Some(waiter) = waiter {
            match &mut waiter.waker {
                Some(kept) => kept.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// The first of a lane.
    pub(in crate::pool) fn first(&self, lane: Lane) -> Option<&Waiter> {
        self.lane(lane).values().next()
    }

    /// Since when the one who waits longest does.
    pub(in crate::pool) fn oldest(&self) -> Option<Instant> {
        self.oldest_of(|_| true)
    }

    /// Since when the one waits longest whom `fits` describes.
    pub(super) fn oldest_of(&self, fits: impl Fn(&Waiter) -> bool) -> Option<Instant> {
        let first = |lane: &BTreeMap<u64, Waiter>| lane.values().find(|waiter| fits(waiter)).map(|waiter| waiter.since);
        self.lanes().into_iter().filter_map(first).min()
    }

    /// The first of a lane whom `serve` serves leaves the line with what it got.
    pub(super) fn serve_first<T>(
        &mut self,
        lane: Lane,
        newest_first: bool,
        mut serve: impl FnMut(&Waiter) -> Option<T>,
    ) -> Option<(u64, Waiter, T)> {
        let mut serve = |(&turn, waiter): (&u64, &Waiter)| Some((turn, serve(waiter)?));
        let (turn, served) = match newest_first {
            false => self.lane(lane).iter().find_map(&mut serve),
            true => self.lane(lane).iter().rev().find_map(&mut serve),
        }?;
        Some((turn, self.leave(turn)?, served))
    }

    fn lane(&self, lane: Lane) -> &BTreeMap<u64, Waiter> {
        match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
            Lane::Kept => &self.kept,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut BTreeMap<u64, Waiter> {
        match lane {
            Lane::Fast => &mut self.fast,
            Lane::Slow => &mut self.slow,
            Lane::Kept => &mut self.kept,
        }
    }

    fn lanes(&self) -> [&BTreeMap<u64, Waiter>; 3] {
        [&self.fast, &self.slow, &self.kept]
    }

    fn lanes_mut(&mut self) -> [&mut BTreeMap<u64, Waiter>; 3] {
        [&mut self.fast, &mut self.slow, &mut self.kept]
    }
}
