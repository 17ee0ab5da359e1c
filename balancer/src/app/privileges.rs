//! Becoming somebody else once the listeners are open.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, initgroups, setgid, setgroups, setuid};

use crate::config::Identity;

/// Takes on the account; the group first, for afterwards there is no right to.
///
/// # Errors
/// A sentence that names the account and the reason.
pub(super) fn take_on(identity: &Identity) -> Result<(), String> {
    let user = identity.user.as_deref().map(user).transpose()?;
    let group = identity.group.as_deref().map(group).transpose()?;
    let group = group.or(user.as_ref().map(|user| user.gid));
    if let Some(group) = group {
        let supplementary = match &user {
            Some(user) => CString::new(user.name.as_str())
                .map_err(|error| error.to_string())
                .and_then(|name| initgroups(&name, group).map_err(|error| error.to_string())),
            None => setgroups(&[group]).map_err(|error| error.to_string()),
        };
        supplementary.map_err(|error| format!("cannot set the groups: {error}"))?;
        setgid(group).map_err(|error| format!("cannot become group {group}: {error}"))?;
    }
    if let Some(user) = user {
        setuid(user.uid).map_err(|error| format!("cannot become user {}: {error}", user.name))?;
    }
    Ok(())
}

fn user(text: &str) -> Result<User, String> {
    let found = match text.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(text),
    };
    found.ok().flatten().ok_or_else(|| format!("there is no user {text}"))
}

fn group(text: &str) -> Result<Gid, String> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(text).ok().flatten();
    found.map(|group| group.gid).ok_or_else(|| format!("there is no group {text}"))
}
