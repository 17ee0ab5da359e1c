//! Room for one connection more, where there are as many as there may be.
//!
//! Decides whose connections are closed for it. Asked when a connection is accepted, and again once a proxy in front of us has told whose
//! it is. Never closes one on which a request is under way.

use super::accept::threads::{Counted, Room};
use super::idle::parked::Parked;
use super::idle::registry::Registry;
use crate::net::Whose;

impl Counted {
    /// It is that client's, as a proxy in front of us has told: when it was accepted, nobody knew whose it is. Whether there is room for it.
    pub(in crate::listen) fn is_for(&mut self, whose: Whose, parked: &Parked, registry: &Registry) -> bool {
        self.belongs_to(whose);
        self.has_room_for(whose, self.thread(), parked, registry)
    }

    /// Whether there is room for this connection of that client, on a thread that has those; makes room if need be. Where there is none, that
    /// is noted.
    pub(in crate::listen) fn has_room_for(
        &self,
        whose: Whose,
        own: usize,
        parked: &Parked,
        registry: &Registry,
    ) -> bool {
        let has_room = !self.threads().are_full_for(whose) || self.make_room(whose, own, parked, registry);
        if !has_room {
            self.threads().has_refused(whose);
        }
        has_room
    }

    /// Makes room for one connection more, of that client, or has other threads do so; whether it has room.
    ///
    /// Where one client has very many, they are its idle ones, and then its newest on which nothing is asked; else idle ones of the client
    /// that has most of these.
    fn make_room(&self, for_whom: Whose, own: usize, parked: &Parked, registry: &Registry) -> bool {
        let threads = self.threads();
        let close_idle =
            |(whose, count)| parked.close_of(whose, count) > 0 || threads.ask_for_room(own, Room::Idle(whose, count));
        if let Some(greatest) = threads.greatest_besides(for_whom) {
            let is_made = threads.idle_of(greatest).is_some_and(close_idle)
                || registry.dismiss_newest(greatest) && threads.may_exceed()
                || threads.ask_for_room(own, Room::Unasked(greatest));
            if is_made {
                return true;
            }
        }
        threads.most_idle(for_whom).is_some_and(close_idle)
    }
}
