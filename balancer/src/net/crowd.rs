//! How many of something that waits belong to each client, where at most half may be one client's.
//!
//! Decides whether one more may wait. Called by whoever lets requests or connections wait, but the queue, which counts with its lines. Its
//! size is that of what waits.

use std::collections::HashMap;

use super::per_client::Whose;

/// Those that wait.
#[derive(Debug, Default)]
pub struct Crowd {
    waiting: usize,
    clients: HashMap<Whose, usize>,
}

impl Crowd {
    /// Whether one more of that client waits from now on, where so many may. Clients without an address are not told apart.
    pub fn enter(&mut self, whose: Whose, most: usize) -> bool {
        let own = self.clients.get(&whose).copied().unwrap_or(0);
        if self.waiting >= most || (whose.is_some() && own >= most.div_ceil(CLIENT_SHARE)) {
            return false;
        }
        self.waiting += 1;
        self.clients.insert(whose, own + 1);
        true
    }

    /// One of that client waits no longer.
    pub fn leave(&mut self, whose: Whose) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(own) = self.clients.get_mut(&whose) {
            *own -= 1;
            if *own == 0 {
                self.clients.remove(&whose);
            }
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}

/// One client has at most one in so many places, as of the queue.
const CLIENT_SHARE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Client;

    #[test]
    fn one_client_has_half_of_the_places_and_who_leaves_makes_room() {
        let (mut crowd, client) = (Crowd::default(), |last: u8| Some(Client::of([192, 0, 2, last].into())));
        assert_eq!((0..9).filter(|_| crowd.enter(client(1), 6)).count(), 3);
        assert_eq!((0..9).filter(|_| crowd.enter(None, 5)).count(), 2);
        assert!(crowd.enter(client(2), 6) && !crowd.enter(client(2), 6) && crowd.len() == 6);
        crowd.leave(None);
        assert!(crowd.enter(client(2), 6));
        (0..3).for_each(|_| crowd.leave(client(1)));
        (0..2).for_each(|_| crowd.leave(client(2)));
        crowd.leave(None);
        assert!(crowd.is_empty() && crowd.clients.is_empty());
    }
}
