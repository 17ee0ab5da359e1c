//! Workers are killed and rolled, the file changes and is read again.
//!
//! Decides what is done when: one thing after the other, so that a failure has one possible reason. Called by [`super::soak`].
//! Never kills a worker while another is missing.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::site::Site;
use super::super::traffic::replaced;
use super::super::tunnels;
use super::{verdict::Kill, watch::Watch};
use crate::{failure::Failure, say};

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Disturbed {
    pub(super) kills: Vec<Kill>,
    pub(super) rolls: usize,
    pub(super) rolls_failed: usize,
    /// Sent as HUP.
    pub(super) reloads: usize,
    /// Refused, or not done in time.
    pub(super) reloads_failed: usize,
}

impl Disturbed {
    /// Disturbs until the time is over; a roll that has begun is waited for.
    pub(super) fn by(site: &Site<'_>, time: Duration, watch: &mut Watch) -> Result<Disturbed, Failure> {
        let mut done = Disturbed::default();
        for turn in 0.. {
            watch.pause(site, EVERY.min(time.saturating_sub(watch.elapsed())))?;
            if watch.elapsed() >= time {
                break;
            }
            match turn % 4 {
                0 => done.kill(site)?,
                1 | 3 => done.reload(site, watch)?,
                _ => done.roll(site, watch)?,
            }
        }
        Ok(done)
    }

    fn kill(&mut self, site: &Site<'_>) -> Result<(), Failure> {
        let since = Instant::now();
        replaced(site, self.kills.len())?;
        self.kills.push(Kill { since, until: Instant::now() });
        Ok(())
    }

    /// Another pool, its policy, weights and routes; the tunnels and workers are not concerned.
    fn reload(&mut self, site: &Site<'_>, watch: &mut Watch) -> Result<(), Failure> {
        self.reloads += 1;
        let [done, failed] = site.reloads()?;
        site.write(&site.text(&site.app(super::SETUP.count, ""), &tunnels::other(self.reloads as u32)))?;
        kill(Pid::from_raw(site.pid()?.cast_signed()), Signal::SIGHUP)
            .map_err(|e| Failure::system("send HUP to the balancer", e.into()))?;
        let until = Instant::now() + RELOAD_TIME_MAX;
        while site.reloads()? == [done, failed] && Instant::now() < until {
            watch.pause(site, BETWEEN_ASKING)?;
        }
        if site.reloads()? != [done + 1, failed] {
            say(&format!("reload {} was refused, or not done after {} s", self.reloads, RELOAD_TIME_MAX.as_secs()));
            self.reloads_failed += 1;
        }
        Ok(())
    }

    fn roll(&mut self, site: &Site<'_>, watch: &mut Watch) -> Result<(), Failure> {
        self.rolls += 1;
        let (mut order, until) = (site.begin(&["restart", "app"])?, Instant::now() + ROLL_TIME_MAX);
        let mut ended = order.has_exited();
        while !ended && Instant::now() < until {
            watch.pause(site, Duration::from_secs(1))?;
            ended = order.has_exited();
        }
        let status = order.reap();
        if !ended || !status.is_some_and(|status| status.success()) {
            say(&format!("roll {} failed: {}{}", self.rolls, order.stdout()?, order.stderr_end()));
            self.rolls_failed += 1;
        }
        Ok(())
    }
}

/// From the end of one thing to the next.
const EVERY: Duration = Duration::from_secs(5);
const BETWEEN_ASKING: Duration = Duration::from_millis(50);
const RELOAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Four workers, each drained of tunnels that live some seconds.
const ROLL_TIME_MAX: Duration = Duration::from_secs(180);
