//! An amount that clients share, of which each leaves as much to others as it has.
//!
//! Decides whether a client gets more: not where nothing is left, and not where it would have more than is left. So one client alone has
//! half, two have a third each, and there is always something for one that comes. That is the dynamic threshold of Choudhury and Hahne,
//! "Dynamic queue length thresholds for shared-memory packet switches", 1998. Called by whoever holds something for clients. Never waits.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::per_client::{CellOf, PerClient, Whose};

/// Bytes, of which there are only so many.
#[derive(Debug)]
pub struct Allowance {
    taken: AtomicUsize,
    max: usize,
    clients: PerClient,
    /// Whether it has been said that there is no more, for anybody and for one client.
    said: [AtomicBool; 2],
}

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// All is taken; so many bytes.
    Of(usize),
    /// That client has its share, of so many bytes.
    OfClient(Whose, usize),
}

impl Allowance {
    /// So many bytes.
    pub fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max, clients: PerClient::default(), said: Default::default() }
    }

    /// Takes so many bytes more for a client; whether they were there. Says why not, once until half of all is free again. Clients without
    /// an address are not told apart: they have no share.
    pub fn take(&self, bytes: usize, whose: Whose, say: impl FnOnce(Shortage)) -> bool {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let cell = self.clients.cell_of(whose);
        let own = cell.map_or(0, |cell| self.clients.add(cell, bytes));
        let shortage = match self.max.checked_sub(taken) {
            None => Shortage::Of(self.max),
            Some(left) if own > left => Shortage::OfClient(whose, self.max),
            Some(_) => return true,
        };
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
        cell.into_iter().for_each(|cell| self.clients.subtract(cell, bytes));
        let said = &self.said[usize::from(shortage != Shortage::Of(self.max))];
        if !said.swap(true, Ordering::Relaxed) {
            say(shortage);
        }
        false
    }

    /// Where a client's part is counted.
    pub fn cell_of(&self, whose: Whose) -> Option<CellOf> {
        self.clients.cell_of(whose)
    }

    /// Gives back what a client has taken, which is counted there.
    pub fn give(&self, bytes: usize, cell: Option<CellOf>) {
        cell.into_iter().for_each(|cell| self.clients.subtract(cell, bytes));
        let left = self.taken.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        for (said, below) in self.said.iter().zip([self.max / 2, self.max / 4]) {
            if left <= below && said.load(Ordering::Relaxed) {
                said.store(false, Ordering::Relaxed);
            }
        }
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(bytes) => write!(f, "all clients together hold {} MiB", bytes >> 20),
            Self::OfClient(Some(client), bytes) => {
                write!(f, "client {client} holds as much of {} MiB as it leaves to others", bytes >> 20)
            }
            Self::OfClient(None, bytes) => {
                write!(f, "one client holds as much of {} MiB as it leaves to others", bytes >> 20)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Client;

    fn client(last: u8) -> Whose {
        Some(Client::of([192, 0, 2, last].into()))
    }

    fn take(allowance: &Allowance, bytes: usize, whose: Whose) -> Result<bool, Shortage> {
        let mut why = None;
        let took = allowance.take(bytes, whose, |shortage| why = Some(shortage));
        why.map_or(Ok(took), Err)
    }

    #[test]
    fn one_client_has_half_and_another_finds_room() {
        let allowance = Allowance::new(120);
        assert_eq!(take(&allowance, 60, client(1)), Ok(true));
        assert_eq!(take(&allowance, 1, client(1)), Err(Shortage::OfClient(client(1), 120)));
        assert_eq!(take(&allowance, 1, client(1)), Ok(false), "said once");
        assert_eq!(take(&allowance, 30, client(2)), Ok(true));
        assert_eq!((take(&allowance, 1, client(2)), take(&allowance, 15, client(3))), (Ok(false), Ok(true)));
        allowance.give(60, allowance.cell_of(client(1)));
        assert_eq!((allowance.taken(), take(&allowance, 30, client(1))), (45, Ok(true)));
    }

    #[test]
    fn there_is_no_more_than_there_is_and_what_is_given_back_is_there_again() {
        let allowance = Allowance::new(100);
        assert_eq!((take(&allowance, 60, None), take(&allowance, 40, None)), (Ok(true), Ok(true)));
        assert_eq!(take(&allowance, 1, None), Err(Shortage::Of(100)));
        allowance.give(60, None);
        assert_eq!(take(&allowance, 60, None), Ok(true));
        assert_eq!(take(&allowance, 1, None), Err(Shortage::Of(100)), "said again, for it was half empty");
        allowance.give(100, None);
        assert_eq!(allowance.taken(), 0);
    }
}
