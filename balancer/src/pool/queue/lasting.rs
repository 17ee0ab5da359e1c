//! Requests that have become tunnels or event streams: they keep a place for as long as their clients like. Pure.
//!
//! Where others have waited for a place for a while, one client has at most half of the places with such, and all clients
//! together at most all but one in four. The newest of the client that has most goes.

use std::collections::HashMap;

use super::lane::slow_max;
use crate::net::Client;

/// Those that have a place, by their turns, in the order in which they became what they are.
#[derive(Debug, Default)]
pub(in crate::pool) struct LastingRequests(Vec<(u64, Option<Client>)>);

/// Why one has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowding {
    /// How many its client has.
    pub of_client: usize,
    /// How many there are.
    pub all: usize,
    /// Places in all.
    pub places: usize,
}

impl LastingRequests {
    /// One of a client; whoever is not known to be a client counts as one of its own.
    pub(in crate::pool) fn enter(&mut self, turn: u64, client: Option<Client>) {
        self.0.push((turn, client));
    }

    pub(in crate::pool) fn leave(&mut self, turn: u64) {
        self.0.retain(|(other, _)| *other != turn);
    }

    /// Whether the one of that turn has to go, of so many places.
    pub(in crate::pool) fn has_to_go(&self, turn: u64, places: usize) -> Option<Crowding> {
        let all = self.0.len();
        let mut counts: HashMap<Client, usize> = HashMap::new();
        self.0.iter().filter_map(|(_, client)| *client).for_each(|client| *counts.entry(client).or_default() += 1);
        let of = |client: &Option<Client>| client.map_or(1, |client| counts[&client]);
        let most = self.0.iter().map(|(_, client)| of(client)).max()?;
        if all <= slow_max(places) && most <= (places / CLIENT_SHARE).max(1) {
            return None;
        }
        let (newest, _) = self.0.iter().rev().find(|(_, client)| of(client) == most)?;
        (*newest == turn).then_some(Crowding { of_client: most, all, places })
    }
}

/// One client has at most one in so many places, as of the queue.
const CLIENT_SHARE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_client_that_has_most_goes_where_one_or_all_have_too_many() {
        // Places, whose they are in order (0: nobody knows), and which of them goes.
        let cases: [(usize, &[u8], Option<u64>); 11] = [
            (1, &[1], None),
            (2, &[1], None),
            (2, &[1, 1], Some(1)),
            (2, &[1, 2], Some(1)),
            (4, &[1, 1], None),
            (4, &[1, 2, 1, 1], Some(3)),
            (4, &[1, 1, 1, 2], Some(2)),
            (4, &[1, 2, 3], None),
            (4, &[0, 0, 0], None),
            (4, &[0, 0, 0, 0], Some(3)),
            (8, &[1, 2, 2, 1, 2, 3, 2, 2], Some(7)),
        ];
        for (places, whose, goes) in cases {
            let mut lasting = LastingRequests::default();
            for (turn, &last) in (0..).zip(whose) {
                lasting.enter(turn, (last > 0).then(|| Client::of([192, 0, 2, last].into())));
            }
            let found: Vec<u64> =
                (0..whose.len() as u64).filter(|turn| lasting.has_to_go(*turn, places).is_some()).collect();
            assert_eq!(found, Vec::from_iter(goes), "{whose:?} of {places}");
        }
    }
}
