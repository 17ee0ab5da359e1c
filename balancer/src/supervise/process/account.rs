//! The account a worker runs as: looked up, and become.
//!
//! Decides who is meant by a name or a number. Called by `spawn`, for what depends on the account, and by `shim`, which becomes
//! it. Never changes the account of the balancer itself.

use std::ffi::CString;
use std::fmt;

use nix::unistd::{Gid, Group, Uid, User, getgid, getuid, initgroups, setgid, setgroups, setuid};

use crate::config::Identity;

/// An account, looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervise) struct WorkerAccount {
    /// The user to become and its entry, where it has one.
    pub(in crate::supervise) user: Option<(Uid, Option<User>)>,
    /// The group to become.
    pub(in crate::supervise) group: Option<Gid>,
}

impl WorkerAccount {
    /// Looks up names and numbers.
    pub(in crate::supervise) fn find(identity: &Identity) -> Result<Self, String> {
        let user = identity.user.as_deref().map(find_user).transpose()?;
        let group = identity.group.as_deref().map(find_group).transpose()?;
        let of_user = user.as_ref().and_then(|(_, entry)| Some(entry.as_ref()?.gid));
        match (&user, group.or(of_user)) {
            (Some((uid, _)), None) => Err(format!("user {uid} is in no user database: give its group too")),
            (_, group) => Ok(Self { user, group }),
        }
    }

    /// The user to become, if it is another than `user`.
    pub(in crate::supervise) fn other_than(&self, user: Uid) -> Option<Uid> {
        self.user.as_ref().map(|(uid, _)| *uid).filter(|uid| *uid != user)
    }

    /// Groups first, user last: afterwards the right to change is gone.
    pub(super) fn become_it(&self) -> Result<(), String> {
        let say = |what: &dyn fmt::Display| {
            let what = what.to_string();
            move |error: nix::Error| format!("cannot become {what}: {error}")
        };
        // Whoever is that account already may lack the right to become it.
        let is_user = self.user.as_ref().is_none_or(|(uid, _)| *uid == getuid());
        let is_group = self.group.is_none_or(|gid| gid == getgid());
        if is_user && is_group {
            return Ok(());
        }
        if let Some(gid) = self.group {
            match self.user.as_ref().and_then(|(_, entry)| CString::new(entry.as_ref()?.name.as_str()).ok()) {
                Some(name) => initgroups(&name, gid).map_err(say(&format_args!("group {gid}")))?,
                None => setgroups(&[gid]).map_err(say(&format_args!("group {gid}")))?,
            }
            setgid(gid).map_err(say(&format_args!("group {gid}")))?;
        }
        match &self.user {
            Some((uid, _)) => setuid(*uid).map_err(say(&format_args!("user {uid}"))),
            None => Ok(()),
        }
    }
}

fn find_user(user: &str) -> Result<(Uid, Option<User>), String> {
    let failed = |error| format!("cannot look up user {user}: {error}");
    if let Some(entry) = User::from_name(user).map_err(failed)? {
        return Ok((entry.uid, Some(entry)));
    }
    let number = user.parse().map_err(|_| format!("user {user} does not exist"))?;
    let uid = Uid::from_raw(number);
    Ok((uid, User::from_uid(uid).map_err(failed)?))
}

fn find_group(group: &str) -> Result<Gid, String> {
    match Group::from_name(group).map_err(|error| format!("cannot look up group {group}: {error}"))? {
        Some(entry) => Ok(entry.gid),
        None => group.parse().map(Gid::from_raw).map_err(|_| format!("group {group} does not exist")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_looked_up_by_name_and_number() {
        let find = |user: Option<&str>, group: Option<&str>| {
            WorkerAccount::find(&Identity { user: user.map(Into::into), group: group.map(Into::into) })
        };
        assert_eq!(find(None, None).unwrap(), WorkerAccount { user: None, group: None });
        let root = find(Some("root"), None).unwrap();
        assert_eq!(root.group, Some(Gid::from_raw(0)));
        assert_eq!(find(Some("0"), None).unwrap(), root);
        let unlisted = find(Some("3999999"), Some("77")).unwrap();
        assert_eq!((unlisted.user, unlisted.group), (Some((Uid::from_raw(3_999_999), None)), Some(Gid::from_raw(77))));
        assert!(find(Some("3999999"), None).unwrap_err().contains("give its group too"));
        assert_eq!(find(Some("no-such-user"), None).unwrap_err(), "user no-such-user does not exist");
        assert_eq!(find(None, Some("no-such-group")).unwrap_err(), "group no-such-group does not exist");
    }
}
