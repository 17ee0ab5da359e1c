//! Certificates by the names they are for, as handshakes look them up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::{Error, ServerConfig};

use super::handshake::{answering, refusing};
use super::{Handshakes, Pair, Standing};

/// What all threads ask. It is swapped whole, and handshakes that have begun go on with what they had.
#[derive(Debug, Default)]
pub struct Certificates {
    book: ArcSwap<Book>,
    refusing: OnceLock<Arc<ServerConfig>>,
    strangers: Mutex<BTreeSet<String>>,
    /// Answers to the questions of a CA by handshakes, by name.
    questions: ArcSwap<HashMap<String, Arc<ServerConfig>>>,
    /// The same to those by requests, by token.
    answers: ArcSwap<HashMap<String, String>>,
    /// How it is with those that were not ordered by us, and with those that were.
    standings: Mutex<[Vec<Standing>; 2]>,
}

/// Certificates at one moment.
#[derive(Debug, Default)]
pub struct Book {
    exact: HashMap<String, Arc<ServerConfig>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<String, Arc<ServerConfig>>,
    /// For clients that name nobody.
    first: Option<Arc<ServerConfig>>,
}

impl Book {
    /// Of these; where two are for one name, the one in front is shown.
    ///
    /// # Errors
    /// When rustls refuses to show one.
    pub fn of<'a>(pairs: impl IntoIterator<Item = &'a Pair>, handshakes: &Handshakes) -> Result<Self, Error> {
        let mut book = Self::default();
        for pair in pairs {
            let shown = handshakes.showing(Arc::clone(&pair.key))?;
            book.first.get_or_insert_with(|| Arc::clone(&shown));
            for name in &pair.certificate.names {
                let (among, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut book.wildcard, parent),
                    None => (&mut book.exact, name.as_str()),
                };
                among.entry(name.to_owned()).or_insert_with(|| Arc::clone(&shown));
            }
        }
        Ok(book)
    }

    /// What a client is shown that asks for `name`, which is in lower case: the one for that name, else the one for all names with the
    /// same parent (RFC 6125 §6.4.3); to who names nobody, the first.
    fn find(&self, name: Option<&str>) -> Option<&Arc<ServerConfig>> {
        let Some(name) = name else { return self.first.as_ref() };
        let by_parent = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(by_parent)
    }
}

impl Certificates {
    /// What a client is shown that asks for `name`; `None` where there is nothing for it.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let book = self.book.load();
        match name {
            Some(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                book.find(Some(&name.to_ascii_lowercase())).cloned()
            }
            name => book.find(name).cloned(),
        }
    }

    /// Whether a client that asks for this host is shown something that is for it.
    pub fn has(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        std::str::from_utf8(host).is_ok_and(|host| !host.is_empty() && self.find(Some(host)).is_some())
    }

    /// What a CA is shown that asks whether `name` is ours; `None` where it is not expected to.
    pub fn question(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        self.questions.load().get(&name?.to_ascii_lowercase()).cloned()
    }

    /// A CA will ask whether `name` is ours, by a handshake, and is to be shown this certificate with this key (PKCS #8).
    ///
    /// # Errors
    /// A sentence, when it cannot be shown.
    pub fn ask(&self, name: &str, (certificate, key): (CertificateDer<'static>, Vec<u8>)) -> Result<(), String> {
        let shown = answering(certificate, key);
        let shown = shown.map_err(|error| format!("the answer to the CA cannot be shown: {error}"))?;
        self.questions.rcu(|known| with(known, name, &shown));
        Ok(())
    }

    /// The CA has asked.
    pub fn asked(&self, name: &str) {
        self.questions.rcu(|known| without(known, name));
    }

    /// The answer to a CA that asks for this token by a request (RFC 8555 §8.3).
    pub fn answer_to(&self, token: &str) -> Option<String> {
        self.answers.load().get(token).cloned()
    }

    /// A CA will ask for `token` by a request, and is to get this answer.
    pub fn answer(&self, token: &str, answer: &str) {
        self.answers.rcu(|known| with(known, token, &answer.to_owned()));
    }

    /// The CA has asked.
    pub fn answered(&self, token: &str) {
        self.answers.rcu(|known| without(known, token));
    }

    /// How it is with those that somebody else renews.
    pub fn tell(&self, standings: Vec<Standing>) {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)[0] = standings;
    }

    /// How it is with those that we order.
    pub fn tell_ordered(&self, standings: Vec<Standing>) {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)[1] = standings;
    }

    /// How it is with all: of those for one name, with the one that is shown.
    pub fn standings(&self) -> Vec<Standing> {
        let mut all = self.standings.lock().unwrap_or_else(PoisonError::into_inner).concat();
        let mut seen = BTreeSet::new();
        all.retain(|one| seen.insert(one.name.clone()));
        all
    }

    /// What tells a client that there is nothing for it.
    ///
    /// # Errors
    /// When rustls has nothing to say it with.
    pub fn refusing(&self) -> Result<Arc<ServerConfig>, Error> {
        if let Some(known) = self.refusing.get() {
            return Ok(Arc::clone(known));
        }
        let made = refusing()?;
        Ok(Arc::clone(self.refusing.get_or_init(|| made)))
    }

    /// From now on these.
    pub fn swap(&self, book: Book) {
        self.book.store(Arc::new(book));
    }

    /// Whether it is to be told that somebody has asked for `name`, for which there is nothing: once for each, of the first
    /// [`STRANGERS_MAX`].
    pub fn is_news(&self, name: &str) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.len() < STRANGERS_MAX && strangers.insert(name.to_owned())
    }
}

fn with<T: Clone>(known: &HashMap<String, T>, key: &str, value: &T) -> HashMap<String, T> {
    let mut changed = known.clone();
    changed.insert(key.to_owned(), value.clone());
    changed
}

fn without<T: Clone>(known: &HashMap<String, T>, key: &str) -> HashMap<String, T> {
    let mut changed = known.clone();
    changed.remove(key);
    changed
}

/// Whoever looks for holes asks for anything.
const STRANGERS_MAX: usize = 100;
