//! The certificates of encrypted listeners: read at the start, at a reload, and whenever their files have changed.
//!
//! A pair of which only half was replaced, or whose file cannot be read any more, changes nothing: what was shown before is shown on, and
//! that is said once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::upstream_tls::PoolsTls;
use crate::acme::Acme;
use crate::config::{CertificateFiles, ClientAuth, Tls, regular};
use crate::tls::{Book, Certificates, Handshakes, Pair, Print};

/// What is shown, and whoever looks after it.
pub(super) struct Keyring {
    certificates: Arc<Certificates>,
    pub(super) kept: Arc<Mutex<Kept>>,
    watching: JoinSet<()>,
    /// How endpoints are spoken to that speak TLS.
    pub(super) endpoints: PoolsTls,
    /// Whoever orders certificates, once one was wanted.
    pub(super) acme: Option<Acme>,
}

/// Pairs by their files.
#[derive(Default)]
pub(super) struct Kept {
    /// In the order of the configuration.
    files: Vec<CertificateFiles>,
    pairs: BTreeMap<CertificateFiles, Entry>,
    /// Names for which certificates are ordered, in the order of the configuration.
    pub(super) names: Vec<String>,
    /// What was obtained for them.
    pub(super) ordered: BTreeMap<String, Pair>,
    clients: Option<Clients>,
    /// As long as the same clients are let in, so that tickets outlive a change of certificates.
    handshakes: Option<Handshakes>,
    /// Whether clients are offered HTTP/2.
    http2: bool,
}

/// Who vouches for clients.
#[derive(Clone)]
struct Clients {
    path: PathBuf,
    auth: ClientAuth,
    pem: Vec<u8>,
    seen: Option<Print>,
}

#[derive(Clone)]
struct Entry {
    pair: Pair,
    /// What the files were like when they were read the last time, though it was in vain.
    seen: Prints,
    /// Why what the files have now is not shown.
    trouble: Option<String>,
}

type Prints = [Option<Print>; 2];

/// Pairs that a reload will show.
pub(super) struct Prepared {
    files: Vec<CertificateFiles>,
    pairs: BTreeMap<CertificateFiles, Entry>,
    clients: Option<Clients>,
    handshakes: Option<Handshakes>,
    http2: bool,
    troubles: Vec<String>,
}

impl Keyring {
    /// None yet.
    pub(super) fn new() -> Self {
        let (certificates, kept, endpoints) = Default::default();
        Self { certificates, kept, watching: JoinSet::new(), endpoints, acme: None }
    }

    /// What handshakes ask.
    pub(super) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Reads what `config` names, and changes nothing. A pair that was read before and cannot be now stays as it was.
    ///
    /// # Errors
    /// A sentence, where a pair cannot be read that never was.
    pub(super) fn prepare(&self, config: &Tls) -> Result<Prepared, String> {
        let (known, before) = {
            let kept = self.kept();
            (kept.pairs.clone(), kept.clients.clone().zip(kept.handshakes.clone()))
        };
        let (mut pairs, mut troubles) = (BTreeMap::new(), Vec::new());
        for files in &config.certificates {
            let seen = Print::of_both(files);
            let entry = match (Pair::load(files), known.get(files)) {
                (Ok(pair), _) => {
                    troubles.extend(pair.oddities.iter().cloned());
                    Entry { pair, seen, trouble: None }
                }
                (Err(error), Some(before)) => {
                    troubles.push(format!("{error}; the certificate from before is shown on"));
                    Entry { pair: before.pair.clone(), seen, trouble: Some(error.to_string()) }
                }
                (Err(error), None) => return Err(error.to_string()),
            };
            pairs.insert(files.clone(), entry);
        }
        let clients = config.client_ca.as_ref().map(|path| Clients::read(path, config.client_auth));
        let (clients, handshakes) = match (clients, before) {
            (None, _) => (None, None),
            (Some(Ok((clients, _))), Some((before, handshakes))) if clients.are_those_of(&before) => {
                (Some(clients), Some(handshakes))
            }
            (Some(Ok((clients, handshakes))), _) => (Some(clients), Some(handshakes)),
            (Some(Err(error)), Some((before, handshakes))) if before.is_asked_as(config) => {
                troubles.push(format!("{error}; the clients from before are let in"));
                (Some(before), Some(handshakes))
            }
            (Some(Err(error)), _) => return Err(error),
        };
        let (files, http2) = (config.certificates.clone(), config.http2);
        Ok(Prepared { files, pairs, clients, handshakes, http2, troubles })
    }

    /// Shows what was prepared.
    pub(super) fn show(&mut self, prepared: Prepared) -> Result<(), String> {
        prepared.troubles.iter().for_each(|trouble| tracing::warn!("{trouble}"));
        let mut kept = self.kept();
        if prepared.handshakes.is_some() || kept.clients.is_some() {
            kept.handshakes = prepared.handshakes;
        }
        (kept.files, kept.pairs, kept.clients) = (prepared.files, prepared.pairs, prepared.clients);
        kept.http2 = prepared.http2;
        kept.show(&self.certificates)?;
        let is_watched = !kept.files.is_empty();
        drop(kept);
        if !is_watched {
            self.watching.abort_all();
        } else if self.watching.is_empty() {
            self.watching.spawn(watch(Arc::clone(&self.kept), Arc::clone(&self.certificates)));
        }
        while self.watching.try_join_next().is_some() {}
        Ok(())
    }

    /// The same behind what cannot be undone: what cannot be shown is told of.
    pub(super) fn change(&mut self, prepared: Prepared) {
        if let Err(error) = self.show(prepared) {
            tracing::error!("{error}; the certificates from before are shown on");
        }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    pub(super) fn show(&mut self, certificates: &Certificates) -> Result<(), String> {
        let handshakes = match &self.handshakes {
            Some(handshakes) => handshakes.clone(),
            None => Handshakes::new(None)?,
        };
        let handshakes = handshakes.offering(self.http2);
        let of_files = self.files.iter().filter_map(|files| Some(&self.pairs.get(files)?.pair));
        let ordered = self.names.iter().filter_map(|name| self.ordered.get(name));
        let pairs = of_files.chain(ordered);
        let book = Book::of(pairs, &handshakes).map_err(|error| format!("TLS cannot show a certificate: {error}"))?;
        self.handshakes = Some(handshakes);
        certificates.swap(book);
        self.tell(certificates);
        Ok(())
    }

    /// Tells how it is with those of files.
    fn tell(&self, certificates: &Certificates) {
        let standings = self.files.iter().filter_map(|files| {
            let Entry { pair, trouble, .. } = self.pairs.get(files)?;
            Some(pair.standings(files, trouble.as_deref()))
        });
        certificates.tell(standings.flatten().collect());
    }

    /// Whether a file has a certificate for `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let names = self.pairs.values().flat_map(|entry| &entry.pair.certificate.names);
        names.into_iter().any(|known| known == name || Some(known) == parent.as_ref())
    }
}

impl Clients {
    /// Who is in that file, and handshakes that let them in.
    fn read(path: &Path, auth: ClientAuth) -> Result<(Self, Handshakes), String> {
        let seen = Print::of(path);
        let pem = regular::read(path, BYTES_MAX).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let handshakes = Handshakes::new(Some((&pem, auth)));
        let handshakes = handshakes.map_err(|error| format!("{} {error}", path.display()))?;
        Ok((Self { path: path.to_owned(), auth, pem, seen }, handshakes))
    }

    fn are_those_of(&self, other: &Self) -> bool {
        (&self.pem, self.auth) == (&other.pem, other.auth)
    }

    fn is_asked_as(&self, config: &Tls) -> bool {
        Some(&self.path) == config.client_ca.as_ref() && self.auth == config.client_auth
    }
}

/// Looks again and again whether files have changed, never on the thread that has other things to do.
async fn watch(kept: Arc<Mutex<Kept>>, certificates: Arc<Certificates>) {
    loop {
        sleep(LOOK).await;
        let (kept, certificates) = (Arc::clone(&kept), Arc::clone(&certificates));
        // It fails only where the runtime ends.
        let _ = spawn_blocking(move || look(&kept, &certificates)).await;
    }
}

/// Reads pairs whose files have changed since they were read.
fn look(kept: &Mutex<Kept>, certificates: &Certificates) {
    let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<(CertificateFiles, Prints)> =
        lock().pairs.iter().map(|(files, entry)| (files.clone(), entry.seen)).collect();
    let mut changed = false;
    for (files, seen) in known {
        // Before it is read: what changes meanwhile is seen by the next look.
        let now = Print::of_both(&files);
        if now == seen {
            continue;
        }
        let loaded = Pair::load(&files);
        let mut kept = lock();
        let Some(entry) = kept.pairs.get_mut(&files) else { continue };
        entry.seen = now;
        match loaded {
            Ok(pair) => {
                let (whom, until) = (pair.certificate.shown(), pair.certificate.not_after);
                tracing::info!(
                    "{} was replaced: a certificate for {whom}, valid until {until}",
                    files.certificate.display()
                );
                pair.oddities.iter().for_each(|oddity| tracing::warn!("{oddity}"));
                (entry.pair, entry.trouble) = (pair, None);
                changed = true;
            }
            Err(error) => {
                tracing::warn!("{error}; the certificate from before is shown on");
                entry.trouble = Some(error.to_string());
                kept.tell(certificates);
            }
        }
    }
    changed |= look_at_clients(kept);
    if changed && let Err(error) = lock().show(certificates) {
        tracing::error!("{error}; the certificates from before are shown on");
    }
}

/// The same with who vouches for clients; whether that has changed.
fn look_at_clients(kept: &Mutex<Kept>) -> bool {
    let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(before) = lock().clients.clone() else { return false };
    let now = Print::of(&before.path);
    if now == before.seen {
        return false;
    }
    let read = Clients::read(&before.path, before.auth);
    let mut kept = lock();
    match (read, &mut kept.clients) {
        (Ok((clients, handshakes)), Some(_)) => {
            let path = clients.path.display();
            tracing::info!(
                "{path} was replaced: clients show certificates that it vouches for, and tickets from before are void"
            );
            (kept.clients, kept.handshakes) = (Some(clients), Some(handshakes));
            true
        }
        (Err(error), Some(clients)) => {
            clients.seen = now;
            tracing::warn!("{error}; the clients from before are let in");
            false
        }
        (_, None) => false,
    }
}

/// Far above any list of those who vouch for others.
const BYTES_MAX: u64 = 4 << 20;
/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
