//! An answer as it is taken: without our own listeners, against what was known, with a word in the log.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{DnsAnswer, FoundPlace};
use super::known::{Known, PlaceChanges};
use super::own::Own;
use super::shown::NameShown;
use super::tell::NameNews;
use crate::config::ListenAddress;

/// What was heard of one name.
#[derive(Debug, Default)]
pub(super) struct Heard {
    known: Known,
    told: NameNews,
    problem: Option<String>,
}

impl Heard {
    /// `who` is the name for people, `listen` our own listeners; addresses that are not `wanted` are as if they were not there.
    pub(super) fn hear(
        &mut self,
        who: &str,
        answer: DnsAnswer<FoundPlace>,
        listen: &[ListenAddress],
        wanted: impl Fn(SocketAddr) -> bool,
        hold: Duration,
    ) -> PlaceChanges {
        self.problem = answer.problem();
        let own = Own::new(listen);
        let answer = answer.only(|address| {
            let ours = own.has(address);
            if ours {
                self.told.ours(who, address);
            }
            !ours && wanted(address)
        });
        let changes = self.known.answered(&answer, hold, Instant::now().into_std());
        self.told.answer(who, self.problem.as_deref(), self.known.addresses().len(), &changes);
        changes
    }

    /// From now on it is another name's.
    pub(super) fn renamed(&mut self) {
        self.known.renamed();
        (self.told, self.problem) = (NameNews::default(), None);
    }

    /// All addresses that the name is taken to have.
    pub(super) fn addresses(&self) -> impl ExactSizeIterator<Item = SocketAddr> {
        self.known.addresses()
    }

    /// For people.
    pub(super) fn shown(&self) -> NameShown {
        NameShown {
            answered: self.known.last_answer(),
            addresses: self.known.addresses().collect(),
            problem: self.problem.clone(),
        }
    }
}
