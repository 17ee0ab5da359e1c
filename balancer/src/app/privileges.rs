//! Becoming somebody else once the listeners are open, and giving up what is needed no more.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, geteuid, initgroups, setgid, setgroups, setuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, no_new_privs, set_capabilities, set_no_new_privs};

use crate::config::{Config, Identity};

/// Takes on the account; the group first, for afterwards there is no right to.
///
/// # Errors
/// A sentence that names the account and the reason.
pub(super) fn take_on(identity: &Identity) -> Result<(), String> {
    let user = identity.user.as_deref().map(user).transpose()?;
    let group = identity.group.as_deref().map(group).transpose()?;
    let entry = user.as_ref().and_then(|(_, entry)| entry.as_ref());
    let group = group.or(entry.map(|entry| entry.gid));
    if let (Some((uid, _)), None) = (&user, group) {
        return Err(format!("user {uid} is in no user database: give its group too"));
    }
    if let Some(group) = group {
        let supplementary = match entry {
            Some(user) => CString::new(user.name.as_str())
                .map_err(|error| error.to_string())
                .and_then(|name| initgroups(&name, group).map_err(|error| error.to_string())),
            None => setgroups(&[group]).map_err(|error| error.to_string()),
        };
        supplementary.map_err(|error| format!("cannot set the groups: {error}"))?;
        setgid(group).map_err(|error| format!("cannot become group {group}: {error}"))?;
    }
    if let Some((uid, _)) = user {
        setuid(uid).map_err(|error| format!("cannot become user {uid}: {error}"))?;
    }
    Ok(())
}

/// Gives up what nobody here needs once everything is open; threads that start later inherit it, and so do workers. A kernel that
/// knows nothing of it costs nothing.
pub(super) fn give_up(config: &Config) {
    let mut workers = config.pools.iter().filter_map(|pool| pool.workers.as_ref()).peekable();
    // Workers would inherit it, and one that calls `sudo` or `sendmail` would fail: the unit of systemd says it for them.
    if workers.peek().is_none() {
        let _ = set_no_new_privs(true);
    }
    // To become another account takes several, and root that stays root has them back with the next program it runs.
    if geteuid().is_root() || workers.any(|workers| workers.identity != Identity::default()) {
        return;
    }
    // For a reload that adds a port below 1024.
    let kept = CapabilitySet::NET_BIND_SERVICE;
    if let Ok(CapabilitySets { effective, permitted, .. }) = capabilities(None) {
        let (effective, permitted) = (effective & kept, permitted & kept);
        let _ = set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() });
    }
}

/// Whether a program that we start can become more than we are, as `sudo` does.
pub(super) fn may_gain() -> bool {
    !no_new_privs().unwrap_or_default()
}

/// Its number, and its entry, which a number need not have (containers run with such).
fn user(text: &str) -> Result<(Uid, Option<User>), String> {
    if let Ok(number) = text.parse() {
        let uid = Uid::from_raw(number);
        return Ok((uid, User::from_uid(uid).ok().flatten()));
    }
    let found = User::from_name(text).ok().flatten();
    found.map(|user| (user.uid, Some(user))).ok_or_else(|| format!("there is no user {text}"))
}

fn group(text: &str) -> Result<Gid, String> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(text).ok().flatten();
    found.map(|group| group.gid).ok_or_else(|| format!("there is no group {text}"))
}
