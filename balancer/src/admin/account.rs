//! The account that the program becomes once it has started, and what that account may do.

use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid, setfsgid, setfsuid};

use crate::config::Identity;

/// An account that root will become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Its user.
    pub uid: Uid,
    gid: Gid,
}

impl Account {
    /// That of `user`; `None` where none is named, where there is none of this name, or where we are not root and can become
    /// nobody.
    pub fn of(identity: &Identity) -> Option<Self> {
        let uid = Self::uid_of(identity).filter(|_| geteuid().is_root())?;
        let group = identity.group.as_deref().and_then(|text| match text.parse() {
            Ok(number) => Some(Gid::from_raw(number)),
            Err(_) => Group::from_name(text).ok().flatten().map(|group| group.gid),
        });
        let own = || User::from_uid(uid).ok().flatten().map(|user| user.gid);
        Some(Self { uid, gid: group.or_else(own).unwrap_or_else(nix::unistd::getegid) })
    }

    /// The number of `user`, whoever we are.
    pub fn uid_of(identity: &Identity) -> Option<Uid> {
        let text = identity.user.as_deref()?;
        match text.parse() {
            Ok(number) => Some(Uid::from_raw(number)),
            Err(_) => User::from_name(text).ok().flatten().map(|user| user.uid),
        }
    }

    /// Does what touches files as this account would (setfsuid(2)): of this thread alone, and only meanwhile.
    pub fn acting<T>(&self, act: impl FnOnce() -> T) -> T {
        struct Back(Uid, Gid);
        impl Drop for Back {
            fn drop(&mut self) {
                setfsuid(self.0);
                setfsgid(self.1);
            }
        }
        let gid = setfsgid(self.gid);
        let _back = Back(setfsuid(self.uid), gid);
        act()
    }

    /// Gives it a file, not what a link points to.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }
}
