//! Reload: check, plan, do it, wait, report.
//!
//! What can fail comes first and is undone when it does: listeners are opened and new pools have ready workers before
//! anything that serves is touched. Then the table is swapped, and only then goes what nobody is sent to any more.

use std::sync::Arc;

use tokio::time::Instant;

use super::act::told;
use super::limits;
use super::listeners::in_the_way;
use super::live::Live;
use super::plan::Plan;
use super::pool_change::WorkersChange;
use super::replacing::{after, ends, is_gone};
use super::{sharing, start};
use crate::admin::{Outcome, Reopened, Reporter, ServedPool};
use crate::config::{self, Config};
use crate::observe::LogFile;
use crate::pool::Pool;
use crate::proxy::Settings;
use crate::route::Table;
use crate::shown;
use crate::spool::Spool;

impl Live {
    /// Reads the file again and does what it says.
    pub(super) async fn reload(&mut self, dry_run: bool, reporter: &Reporter) -> Outcome {
        let outcome = self.try_reload(dry_run, reporter).await;
        if !dry_run {
            self.instance.reloaded(outcome.code == 0);
            let first = outcome.text.lines().next().unwrap_or_default();
            self.note(if outcome.code == 0 { "reloaded" } else { "reload_failed" }, None, first);
            if outcome.code == 0 {
                tracing::info!("{}", outcome.text);
            }
        }
        outcome
    }

    async fn try_reload(&mut self, dry_run: bool, reporter: &Reporter) -> Outcome {
        let begun = Instant::now();
        let Some(path) = self.path.clone() else {
            return Outcome::wrong("there is no file to read again: the configuration came from the command line");
        };
        // A path from where we were started, and where that is a link it may have moved.
        self.here.return_to();
        let file = match config::load_again(&path) {
            Ok(file) => file,
            Err(error) => {
                let text = format!("{error}\nnothing has changed");
                return Outcome { code: WRONG_CONFIGURATION, text };
            }
        };
        let (new, scaled) = self.with_scaled(&file);
        let plan = Plan::new(&self.config, &new);
        for line in plan.lines().into_iter().chain(scaled) {
            if !dry_run {
                tracing::info!("reload: {line}");
            }
            reporter.text(line);
        }
        if plan.is_empty() {
            self.file = file;
            // The file is the same, but what it names may not be.
            if !dry_run && let Err(why) = self.read_files(&new) {
                return Outcome::failed(format!("{why}; nothing has changed"));
            }
            return Outcome::done("nothing to do");
        }
        if let Some(why) = in_the_way(&self.config.listen, &plan.listen_added, &new.listen) {
            return Outcome::failed(format!("{why}; nothing has changed"));
        }
        if let Some(why) = sharing::in_the_way(&self.config, &new) {
            return Outcome::failed(format!("{why}; nothing has changed"));
        }
        if dry_run {
            return Outcome::done("dry run: nothing was changed");
        }
        let failures = match self.apply(&plan, new, file, reporter).await {
            Ok(failures) => failures,
            Err(why) => return Outcome::failed(format!("{why}; nothing has changed")),
        };
        match failures.is_empty() {
            true => Outcome::done(format!("reloaded in {}", shown::time(begun.elapsed()))),
            false => Outcome::failed(format!("reloaded, but {}", failures.join("; "))),
        }
    }

    /// Reads the files that a configuration names which has not changed itself.
    fn read_files(&mut self, config: &Config) -> Result<(), String> {
        let upstream_tls = self.keyring.endpoints.again(&config.pools)?;
        self.keyring.prepare(&config.tls).and_then(|same| self.keyring.show(same))?;
        self.keyring.endpoints = upstream_tls;
        self.encrypt();
        Ok(())
    }

    /// Has the pools speak to their endpoints as they are to be spoken to now.
    fn encrypt(&mut self) {
        self.keyring.endpoints.tell();
        self.pools.iter().for_each(|served| served.pool.encrypt(self.keyring.endpoints.of(served.pool.name())));
    }

    /// A number of workers that a command has changed stays as long as the file says the same number as before; and where the two differ.
    fn with_scaled(&self, file: &Config) -> (Config, Vec<String>) {
        let (mut new, mut differing) = (file.clone(), Vec::new());
        for pool in &mut new.pools {
            let count_in = |config: &Config| {
                config.pools.iter().find(|known| known.name == pool.name)?.workers.as_ref().map(|workers| workers.count)
            };
            let (said, runs) = (count_in(&self.file), count_in(&self.config));
            if let (Some(workers), Some(said), Some(runs)) = (&mut pool.workers, said, runs)
                && workers.count == said
            {
                workers.count = runs;
                if runs != said {
                    let plural = if runs == 1 { "" } else { "s" };
                    differing.push(format!("pool {}: {runs} worker{plural} by scale, the file says {said}", pool.name));
                }
            }
        }
        (new, differing)
    }

    /// Does it; returns what went wrong with single pools.
    ///
    /// # Errors
    /// A sentence, when nothing has been changed.
    pub(super) async fn apply(
        &mut self,
        plan: &Plan,
        new: Config,
        file: Config,
        reporter: &Reporter,
    ) -> Result<Vec<String>, String> {
        let certificates = self.keyring.prepare(&new.tls)?;
        let upstream_tls = self.keyring.endpoints.again(&new.pools)?;
        let opened = self.open(&plan.listen_added, &new.listen)?;
        let log = self.open_log(&new)?;
        let spool = self.open_spool(&new)?;
        let admin = self.open_admin(&new)?;
        self.shares.extend(sharing::of_added(plan, &new)?);
        let tls_before = std::mem::replace(&mut self.keyring.endpoints, upstream_tls);
        let begun = self.begin_new(plan, &new, reporter).await;
        if begun.is_err() {
            self.keyring.endpoints = tls_before;
        }
        self.shares.retain(|pool, _| !if begun.is_ok() { &plan.removed } else { &plan.added }.contains(pool));
        let begun = begun?;

        // From here on everything is there that requests will be sent to.
        let before = std::mem::take(&mut self.pools);
        self.pools = new.pools.iter().map(|config| after(config, plan, &begun, &before)).collect();
        self.encrypt();
        let pools: Vec<Arc<Pool>> = self.pools.iter().map(|served| Arc::clone(&served.pool)).collect();
        self.shared.table.store(Arc::new(Table::new(&new.routes, &pools)));
        self.control.set_limits(&new.client, limits::shortest(&new));
        // The file before the lines for it.
        if let Some(log) = log {
            self.writer.replace(log);
        }
        self.shared.settings.send_replace(Settings::of(&new, spool));
        if let Some(server) = &mut self.admin {
            server.change(admin);
        }
        // Before there is a listener that needs them.
        self.keyring.change(certificates);
        self.control.set_connections_max(limits::connections_max(&new, self.descriptors));
        self.accept_from(opened);
        for address in &plan.listen_removed {
            self.close_listener(address);
        }
        let new = Plan::possible(&self.config, new);
        let old = std::mem::replace(&mut self.config, new);
        let said = std::mem::replace(&mut self.file, file);
        self.drain_timeout.send_replace(self.config.drain_timeout);
        self.memory.configure(&self.config);
        self.keyring.order(&self.config);
        // Some may have slots now that had none.
        self.pools.iter().for_each(|served| self.memory.recall(&served.pool));
        let gone: Vec<ServedPool> = before.iter().filter(|served| is_gone(served, plan)).cloned().collect();
        gone.iter().for_each(|served| self.memory.note(&served.pool));
        let ending = before
            .iter()
            .filter(|served| gone.iter().any(|one| Arc::ptr_eq(&one.pool, &served.pool)) || ends(served, plan));
        self.retiring.extend(ending.filter_map(|served| served.supervisor.clone()));
        self.probe(Some(&old));
        self.listens();
        self.discover();
        self.publish();

        let mut failures = self.admit_others(plan, &old);
        failures.extend(self.reconfigure(plan, &said, reporter).await);
        self.retire(&gone, reporter).await;
        let names: Vec<Arc<str>> = self.pools.iter().map(|served| Arc::clone(served.pool.name())).collect();
        self.shared.metrics.retain(|name| names.iter().any(|kept| Arc::ptr_eq(kept, name)));
        Ok(failures)
    }

    /// Lets others connect to Unix sockets that stay; returns what failed, of which the next reload tells again.
    fn admit_others(&mut self, plan: &Plan, old: &Config) -> Vec<String> {
        let mut failures = Vec::new();
        for address in &plan.listen_changed {
            let Err(why) = self.admit(address) else { continue };
            failures.push(why);
            let before = old.listen.iter().find(|one| one.to_string() == address.to_string());
            let listed = self.config.listen.iter_mut().find(|one| *one == address);
            if let (Some(listed), Some(before)) = (listed, before) {
                listed.clone_from(before);
            }
        }
        failures
    }

    /// The access log of `new`, where it is another file or none.
    fn open_log(&self, new: &Config) -> Result<Option<Option<LogFile>>, String> {
        let path = new.access_log.file();
        if path == self.config.access_log.file() {
            return Ok(None);
        }
        let opened = path.map(|path| {
            LogFile::open(path).map_err(|error| format!("cannot open the access log {}: {error}", path.display()))
        });
        opened.transpose().map(Some)
    }

    /// Where bodies wait as `new` says: the same disk as before, unless that is another.
    fn open_spool(&self, new: &Config) -> Result<Option<Spool>, String> {
        if new.spool == self.config.spool {
            return Ok(self.shared.settings.borrow().spool.clone());
        }
        start::spool(&new.spool).map_err(|failure| failure.to_string())
    }

    /// Where commands are taken as `new` says, as far as that is not open already.
    fn open_admin(&self, new: &Config) -> Result<Reopened, String> {
        let opened = self.admin.as_ref().map(|server| server.open(&self.config.admin, &new.admin));
        opened.transpose().map(Option::unwrap_or_default).map_err(|error| error.to_string())
    }

    /// Gives supervisors their other settings, one pool after another; returns what failed. `said` is the file before.
    async fn reconfigure(&mut self, plan: &Plan, said: &Config, reporter: &Reporter) -> Vec<String> {
        let mut failures = Vec::new();
        for change in plan.changed.iter().filter(|change| matches!(change.workers, WorkersChange::Other(_))) {
            let is_it = |config: &&mut config::Pool| config.name == change.name;
            let supervisor = self.pools.iter().find(|served| **served.pool.name() == *change.name);
            let supervisor = supervisor.and_then(|served| served.supervisor.clone());
            let config = self.config.pools.iter_mut().find(is_it);
            let (Some(supervisor), Some(workers)) = (supervisor, config.and_then(|config| config.workers.as_mut()))
            else {
                continue;
            };
            let done = told(&supervisor, reporter, supervisor.reconfigure(workers.clone())).await;
            if let Err(error) = done {
                failures.push(format!("workers of pool {} {error}", change.name));
                *workers = supervisor.settings();
                if error.wanted.is_some() {
                    // They have what the file says, and the supervisor goes on trying.
                    continue;
                }
                // The next reload tries again, and what the file said before is known still: a number that a command has set
                // stays as long as the file says the same.
                let before = said.pools.iter().find(|known| known.name == change.name);
                let file = self.file.pools.iter_mut().find(is_it);
                if let (Some(file), Some(before)) = (file, before) {
                    file.workers.clone_from(&before.workers);
                    if let (Some(scaled), Some(workers)) = (&error.done.scaled, &mut file.workers) {
                        workers.count = scaled.to;
                    }
                }
            }
        }
        failures
    }
}

/// EX_CONFIG of sysexits.h.
const WRONG_CONFIGURATION: u8 = 78;
