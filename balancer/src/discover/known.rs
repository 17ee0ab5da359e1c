//! The addresses of a name as they are taken to be: a pure state machine.
//!
//! Decides, from one answer after another, who is there and who is not any more. A name that seems to be empty has cost others
//! their service, and so has one that never became empty; what is in between is a matter of time and of repetition. Never asks
//! and never looks at a clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::answer::{DnsAnswer, FoundPlace, Part};

/// What is known of a name.
#[derive(Debug, Default)]
pub(super) struct Known {
    places: BTreeMap<SocketAddr, Entry>,
    /// Since when it was said to have no address.
    empty_since: Option<Instant>,
    /// When it was answered the last time, be it that there is none.
    answered: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    weight: u16,
    backup: bool,
    /// Complete answers in a row without it.
    missed: u8,
}

/// What an answer has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PlaceChanges {
    pub(super) come: Vec<FoundPlace>,
    /// Of another weight or role.
    pub(super) changed: Vec<FoundPlace>,
    pub(super) gone: Vec<SocketAddr>,
    /// Places for which there was no room.
    pub(super) refused: usize,
}

impl Known {
    /// Takes an answer. What it does not have stays until it was missing in [`MISSED_MAX`] complete answers in a row; and when
    /// there is nothing at all, for `hold`.
    pub(super) fn answered(&mut self, answer: &DnsAnswer<FoundPlace>, hold: Duration, now: Instant) -> PlaceChanges {
        let mut changes = PlaceChanges::default();
        if answer.parts().iter().all(|part| part.failed.is_some() && part.found.is_empty()) {
            return changes;
        }
        self.answered = Some(now);
        for place in answer.parts().iter().flat_map(|part| &part.found) {
            self.found(*place, &mut changes);
        }
        let is_complete = |address: &SocketAddr| part_of(answer, address).failed.is_none();
        if answer.is_found() {
            self.empty_since = None;
            for (address, entry) in &mut self.places {
                if is_complete(address) && !part_of(answer, address).found.iter().any(|place| place.address == *address)
                {
                    entry.missed += 1;
                    if entry.missed >= MISSED_MAX {
                        changes.gone.push(*address);
                    }
                }
            }
        } else if now.saturating_duration_since(*self.empty_since.get_or_insert(now)) >= hold {
            changes.gone.extend(self.places.keys().filter(|address| is_complete(address)));
        }
        changes.gone.iter().for_each(|address| _ = self.places.remove(address));
        changes
    }

    /// From now on it is another name: what its second complete answer does not have leaves, by when the others have come.
    pub(super) fn renamed(&mut self) {
        (self.empty_since, self.answered) = (None, None);
        self.places.values_mut().for_each(|entry| entry.missed = MISSED_MAX - 2);
    }

    /// All that are there, in order.
    pub(super) fn addresses(&self) -> impl ExactSizeIterator<Item = SocketAddr> {
        self.places.keys().copied()
    }

    /// When it was answered the last time.
    pub(super) fn last_answer(&self) -> Option<Instant> {
        self.answered
    }

    fn found(&mut self, place: FoundPlace, changes: &mut PlaceChanges) {
        let FoundPlace { address, weight, backup } = place;
        let is_full = self.places.len() >= PLACES_MAX;
        match self.places.get_mut(&address) {
            Some(entry) => {
                if (entry.weight, entry.backup) != (weight, backup) {
                    changes.changed.push(place);
                }
                *entry = Entry { weight, backup, missed: 0 };
            }
            None if is_full => changes.refused += 1,
            None => {
                self.places.insert(address, Entry { weight, backup, missed: 0 });
                changes.come.push(place);
            }
        }
    }
}

/// What was answered of the family of `address`.
fn part_of<'a>(answer: &'a DnsAnswer<FoundPlace>, address: &SocketAddr) -> &'a Part<FoundPlace> {
    if address.is_ipv4() { &answer.v4 } else { &answer.v6 }
}

/// Resolvers give a part of many addresses, and in turn those of several views.
const MISSED_MAX: u8 = 3;
/// Each costs a task and, while it is asked, a descriptor.
const PLACES_MAX: usize = 4_096;

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
