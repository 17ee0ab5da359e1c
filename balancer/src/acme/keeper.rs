//! Whoever sees to it that each name has a certificate: one thing after another, each when it is due.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::Account;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::history::Challenge;
use super::job::{Job, Ordered};
use super::pace::OrderPace;
use super::renewal::Suggested;
use super::settings::{AcmeSettings, Show};
use super::store::{Store, StoreClaim};
use super::wanted::{AcmeStep, WantedName};
use crate::config::{Acme, AcmeDirectory};
use crate::shown;
use crate::tls::{Certificates, Pair};

/// What is known, and what is asked.
pub(super) struct Keeper {
    changes: watch::Receiver<AcmeSettings>,
    settings: AcmeSettings,
    certificates: Arc<Certificates>,
    show: Show,
    claim: Option<StoreClaim>,
    /// By the address of a directory.
    accounts: BTreeMap<String, Account>,
    names: Vec<WantedName>,
    pace: OrderPace,
}

/// What has been done.
enum JobDone {
    Ordered(Box<Ordered>),
    Asked(Option<Account>, Result<Option<Suggested>, Duration>),
}

impl Keeper {
    /// Shows what is kept.
    pub(super) fn new(changes: watch::Receiver<AcmeSettings>, certificates: Arc<Certificates>, show: Show) -> Self {
        let settings = changes.borrow().clone();
        let (claim, accounts, pace) = Default::default();
        let mut keeper = Self { changes, settings, certificates, show, claim, accounts, names: Vec::new(), pace };
        let kept = kept(&keeper.settings);
        keeper.adopt(kept);
        keeper
    }

    /// Never returns while there is somebody to do it for.
    pub(super) async fn run(mut self) {
        loop {
            self.tell();
            let now = Timestamp::now();
            let due = self.next(now).filter(|(at, ..)| *at <= now);
            match due {
                Some((_, step, index)) => self.work(step, index, now).await,
                None => {
                    // In steps, for the clock of the wall may be set.
                    let wait = self.next(now).map_or(LOOK, |(at, ..)| until(at, now).min(LOOK));
                    tokio::select! {
                        () = sleep(wait) => {}
                        changed = self.changes.changed() => if changed.is_err() { return },
                    }
                }
            }
            if self.changes.has_changed().unwrap_or(false) || self.settings != *self.changes.borrow() {
                self.change().await;
            }
        }
    }

    /// What is to be done first of all, for which name, and when.
    fn next(&self, now: Timestamp) -> Option<(Timestamp, AcmeStep, usize)> {
        let paced = |(at, step): (Timestamp, AcmeStep)| match step {
            AcmeStep::Order => (at.max(self.pace.earliest(now)), step),
            AcmeStep::Ask => (at, step),
        };
        let all = self.names.iter().enumerate().map(|(index, wanted)| (paced(wanted.next()), index));
        all.map(|((at, step), index)| (at, step, index)).min()
    }

    /// Does it, unless the name is not wanted any more meanwhile.
    async fn work(&mut self, step: AcmeStep, index: usize, now: Timestamp) {
        let Some(wanted) = self.names.get(index) else { return };
        let (name, replaces, id) = (wanted.name.clone(), wanted.replaces(), wanted.id());
        let usable = Challenge::usable(self.settings.plain);
        let challenge = wanted.history.challenge(usable);
        let directory = match step {
            AcmeStep::Order => wanted.history.directory(&self.settings.acme.directory).clone(),
            AcmeStep::Ask => self.settings.acme.directory.clone(),
        };
        let trial = directory != self.settings.acme.directory;
        let job = self.job(&directory);
        if step == AcmeStep::Order {
            self.pace.begun(now);
        }
        let doing = async {
            match (step, id) {
                (AcmeStep::Ask, Some(id)) => {
                    let (account, answer) = job.ask(&id, now).await;
                    JobDone::Asked(account, answer)
                }
                _ => JobDone::Ordered(Box::new(job.order(&name, challenge, trial, replaces.filter(|_| !trial)).await)),
            }
        };
        let done = unless_changed(doing, self.changes.clone(), &self.settings, &name).await;
        match done {
            Some(JobDone::Asked(account, answer)) => {
                self.accounts.extend(account.map(|account| (directory.url().to_owned(), account)));
                self.names[index].asked(answer, Timestamp::now());
            }
            Some(JobDone::Ordered(ordered)) => self.ordered(index, *ordered, (challenge, &directory)),
            None => {}
        }
    }

    fn job(&self, directory: &AcmeDirectory) -> Job {
        let url = directory.url().to_owned();
        Job {
            acme: self.settings.acme.clone(),
            store: store(&self.settings),
            claim: self.claim.clone(),
            account: self.accounts.get(&url).cloned(),
            certificates: Arc::clone(&self.certificates),
            url,
        }
    }

    fn ordered(&mut self, index: usize, ordered: Ordered, (challenge, directory): (Challenge, &AcmeDirectory)) {
        self.claim = ordered.claim;
        match ordered.account {
            Some(account) => _ = self.accounts.insert(directory.url().to_owned(), account),
            None => _ = self.accounts.remove(directory.url()),
        }
        let (now, is_trial) = (Timestamp::now(), *directory != self.settings.acme.directory);
        let usable = Challenge::usable(self.settings.plain);
        let wanted = &mut self.names[index];
        let (name, by) = (wanted.name.clone(), challenge.name());
        match ordered.result {
            Ok(_) if is_trial => {
                tracing::info!("{name}: an order for trial went well, by {by}; the one that counts follows");
                wanted.history.rehearsed();
                wanted.retry_in(Duration::ZERO, now);
            }
            Ok(pair) => {
                wanted.obtained(&pair, now);
                (self.show)(&name, Some(pair));
                let whose = host(directory);
                let (until, next) = (wanted.not_after().unwrap_or(now), wanted.renewal());
                tracing::info!(
                    "{name}: {whose} has given a certificate, by {by}, valid until {until}; the next one is ordered at {next}"
                );
            }
            Err(failure) => {
                let wait = wanted.history.failed(failure.reason, usable, &mut rand::rng());
                wanted.retry_in(wait, now);
                let again = match wait {
                    Duration::ZERO => format!("{} is tried at once", wanted.history.challenge(usable).name()),
                    wait => format!("it is tried again in {}", shown::time(Duration::from_secs(wait.as_secs().max(1)))),
                };
                let why = failure.to_string();
                let what = wanted.not_after().map_or_else(
                    || "there is no certificate yet".to_owned(),
                    |until| format!("its certificate, valid until {until}, is not renewed"),
                );
                if wanted.failed(&why) {
                    tracing::warn!("{name}: {what}: {why}; {again}");
                }
            }
        }
    }

    /// Takes other settings.
    async fn change(&mut self) {
        let settings = self.changes.borrow_and_update().clone();
        let reading = settings.clone();
        // It fails only where the runtime ends.
        let Ok(kept) = spawn_blocking(move || kept(&reading)).await else { return };
        if self.settings.state_dir != settings.state_dir {
            self.claim = None;
        }
        let names_apart = |acme: &Acme| Acme { names: Vec::new(), ..acme.clone() };
        if names_apart(&self.settings.acme) != names_apart(&settings.acme) {
            self.accounts.clear();
        }
        if self.settings.acme.directory != settings.acme.directory {
            // Those of the other CA are shown until there are some of this one.
            self.names.clear();
        }
        self.settings = settings;
        self.adopt(kept);
    }

    /// Names of the settings, with what is kept for those of which nothing is known. What was tried in vain is tried anew.
    fn adopt(&mut self, mut kept: BTreeMap<String, Pair>) {
        let now = Timestamp::now();
        let mut known = std::mem::take(&mut self.names);
        for gone in known.iter().filter(|wanted| !self.settings.acme.names.contains(&wanted.name)) {
            (self.show)(&gone.name, None);
        }
        for name in &self.settings.acme.names {
            let pair = kept.remove(name);
            if let Some(index) = known.iter().position(|wanted| wanted.name == *name) {
                self.names.push(known.swap_remove(index).anew());
                continue;
            }
            self.names.push(WantedName::new(name.clone(), pair.as_ref(), now));
            if let Some(pair) = pair {
                (self.show)(name, Some(pair));
            }
        }
    }

    fn tell(&self) {
        let from = host(&self.settings.acme.directory);
        let now = Timestamp::now();
        self.certificates.tell_ordered(self.names.iter().map(|wanted| wanted.standing(&from, now)).collect());
    }
}

/// What is kept for the names of the settings.
fn kept(settings: &AcmeSettings) -> BTreeMap<String, Pair> {
    let Some(store) = store(settings) else { return BTreeMap::new() };
    let url = settings.acme.directory.url();
    settings.acme.names.iter().filter_map(|name| Some((name.clone(), store.certificate(url, name)?))).collect()
}

fn store(settings: &AcmeSettings) -> Option<Store> {
    Some(Store::new(settings.state_dir.as_deref()?))
}

/// What comes of it; `None` where the settings have become others in which nobody wants that.
async fn unless_changed<T>(
    doing: impl Future<Output = T>,
    mut changes: watch::Receiver<AcmeSettings>,
    before: &AcmeSettings,
    name: &str,
) -> Option<T> {
    let mut doing = pin!(doing);
    loop {
        tokio::select! {
            done = &mut doing => return Some(done),
            Ok(()) = changes.changed() => {
                let now = changes.borrow_and_update();
                let same = AcmeSettings { acme: Acme { names: before.acme.names.clone(), ..now.acme.clone() }, ..now.clone() };
                if same != *before || !now.acme.names.iter().any(|known| known == name) {
                    return None;
                }
            }
        }
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Whose directory it is.
fn host(directory: &AcmeDirectory) -> String {
    let url = directory.url().trim_start_matches("https://");
    url.split('/').next().unwrap_or(url).to_owned()
}

/// Between two looks at the clock of the wall.
const LOOK: Duration = Duration::from_secs(60);
