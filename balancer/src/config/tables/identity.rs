//! `user` and `group`. Decides whether an account exists; called by the readers of the top level and of workers; never
//! becomes anybody.

use nix::unistd::{Group, User};

use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// An account to run as; `None` keeps the present one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User name or number.
    pub user: Option<String>,
    /// Group name or number.
    pub group: Option<String>,
}

/// The keys `user` and `group` of `section`.
pub(in crate::config) fn read(section: &mut Section<'_>) -> Identity {
    let user =
        section.take("user").and_then(|item| account(&item, |name| User::from_name(name).map(|it| it.is_some())));
    let group = section.take("group").and_then(|item| self::group(&item).flatten());
    Identity { user, group }
}

/// A group, by name or number. As `Some`, so that a reader tells a wrong one from none.
pub(in crate::config) fn group(item: &Item<'_>) -> Option<Option<String>> {
    account(item, |name| Group::from_name(name).map(|it| it.is_some())).map(Some)
}

/// A name that `exists` or a number, which needs no entry anywhere (containers run with such).
fn account(item: &Item<'_>, exists: impl Fn(&str) -> nix::Result<bool>) -> Option<String> {
    let kind = item.key;
    let number = item.as_integer().map(|number| number.to_string());
    let name = match number {
        Some(number) => number,
        None => item.text("\"nobody\"")?.to_owned(),
    };
    if name.parse::<i64>().is_ok() {
        // The largest number means "leave as it is" to setuid(2).
        let valid = name.parse::<u32>().is_ok_and(|number| number < u32::MAX);
        return valid.then_some(name.clone()).or_else(|| {
            item.wrong(format!("{} is no number of a {kind}", quote(&name)), "numbers are 0 to 4294967294");
            None
        });
    }
    match exists(&name) {
        Ok(true) => return Some(name),
        Ok(false) => {
            let known = if kind == "user" { "passwd" } else { "group" };
            let help = format!("write one that `getent {known}` lists, or a number");
            item.wrong(format!("there is no {kind} {} on this machine", quote(&name)), help);
        }
        Err(error) => item.wrong(format!("cannot look up {kind} {}: {error}", quote(&name)), "write its number"),
    }
    None
}
