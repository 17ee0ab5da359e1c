//! Listeners of a reload: those that are added are opened, those that are removed are closed.
//!
//! Called by `reload`. Says beforehand what cannot be done beside listeners of ours that are open; never touches those that stay.

use std::sync::PoisonError;

use super::listening::Listening;
use super::live::Live;
use super::open::open_listener;
use crate::config::ListenAddress;
use crate::listen::{Listener, Passed, admit};

impl Live {
    /// Opens `added`, of which `all` will consist together with what stays.
    ///
    /// # Errors
    /// A sentence, when one cannot be opened; then none is.
    pub(super) fn open(
        &self,
        added: &[ListenAddress],
        all: &[ListenAddress],
    ) -> Result<Vec<(ListenAddress, Listener)>, String> {
        let mut opened = Vec::new();
        for address in added {
            match open_listener(address, all, self.control.threads(), (None, &mut Passed::default())) {
                Ok(listener) => opened.push((address.clone(), listener)),
                Err(failure) => return Err(failure.to_string()),
            }
        }
        Ok(opened)
    }

    /// Lets the proxy threads accept from listeners that are open.
    pub(super) fn accept_from(&mut self, opened: Vec<(ListenAddress, Listener)>) {
        for (configured, listener) in opened {
            if let Err(error) = self.control.open(&listener) {
                tracing::error!(%error, "cannot listen on {configured}");
            }
            tracing::info!("listening on {}", listener.address);
            self.listening.push(Listening::new(configured, listener, &self.control));
        }
    }

    /// Lets others connect to a Unix socket that stays.
    ///
    /// # Errors
    /// A sentence, when it cannot; then its file lets in fewer than it should, or whom it let in.
    pub(super) fn admit(&mut self, address: &ListenAddress) -> Result<(), String> {
        let ListenAddress::Unix(socket) = address.place() else { return Ok(()) };
        let same = |one: &&mut Listening| one.configured.to_string() == address.to_string();
        let Some(listening) = self.listening.iter_mut().find(same) else { return Ok(()) };
        if let Some(watched) = &listening.file {
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            let admitted = admit(&watched.file, socket, None);
            admitted.map_err(|error| format!("the permissions of {address} could not be changed: {error}"))?;
            watched.address = address.clone();
        }
        listening.configured = address.clone();
        Ok(())
    }

    pub(super) fn close_listener(&mut self, address: &ListenAddress) {
        let Some(index) = self.listening.iter().position(|one| one.configured == *address) else { return };
        let Listening { configured, bound, .. } = self.listening.remove(index);
        self.control.close(&bound);
        tracing::info!("no longer listening on {bound}");
        if let ListenAddress::Passed(name) = configured.place() {
            tracing::warn!(
                "the service manager keeps fd:{name} open, and clients wait there: stop its .socket unit too"
            );
        }
    }
}

/// Why `open` listeners of ours keep `added` from being opened, or would have to change themselves: at no moment is a port
/// without a listener, so an address goes in one reload and what takes its place comes in the next. And what others open for us
/// comes when we are started.
pub(super) fn in_the_way(open: &[ListenAddress], added: &[ListenAddress], all: &[ListenAddress]) -> Option<String> {
    let passed = added.iter().find(|new| matches!(new.place(), ListenAddress::Passed(_)));
    if let Some(new) = passed {
        return Some(format!(
            "cannot listen on {new} from now on: listeners are passed at the start, so restart the balancer"
        ));
    }
    let clash = added.iter().find_map(|new| {
        let own = open.iter().find(|own| own.covers(new, open) || new.covers(own, all))?;
        Some(format!(
            "cannot listen on {new} while balancer listens on {own}: remove {own} by one reload and add {new} by the \
             next, or restart"
        ))
    });
    clash.or_else(|| {
        let changed = open.iter().find(|own| all.contains(own) && own.takes_ipv4(open) != own.takes_ipv4(all))?;
        Some(format!(
            "{changed} cannot begin to take IPv4 clients: remove it by one reload and add it by the next, or restart"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<ListenAddress> {
        all.iter().map(|text| ListenAddress::Tcp(text.parse().unwrap())).collect()
    }

    #[test]
    fn what_our_own_listeners_are_in_the_way_of_is_said_with_a_way_out() {
        let check = |open: &[&str], all: &[&str]| {
            let (open, all) = (addresses(open), addresses(all));
            let added: Vec<_> = all.iter().filter(|new| !open.contains(new)).cloned().collect();
            in_the_way(&open, &added, &all)
        };
        let clash = |own: &str, new: &str| {
            Some(format!(
                "cannot listen on {new} while balancer listens on {own}: remove {own} by one reload and add {new} by \
                 the next, or restart"
            ))
        };
        assert_eq!(check(&["127.0.0.1:80"], &["0.0.0.0:80"]), clash("127.0.0.1:80", "0.0.0.0:80"));
        assert_eq!(check(&["0.0.0.0:80"], &["127.0.0.1:80"]), clash("0.0.0.0:80", "127.0.0.1:80"));
        assert_eq!(check(&["[::]:80"], &["[::]:80", "0.0.0.0:80"]), clash("[::]:80", "0.0.0.0:80"));
        assert_eq!(check(&["0.0.0.0:80"], &["[::]:80"]), clash("0.0.0.0:80", "[::]:80"));
        assert_eq!(check(&["0.0.0.0:80"], &["0.0.0.0:80", "[::]:80"]), None);
        assert_eq!(check(&["127.0.0.1:80"], &["127.0.0.1:81"]), None);
        let passed = ListenAddress::Passed("web".into());
        let text =
            in_the_way(&addresses(&["0.0.0.0:80"]), std::slice::from_ref(&passed), std::slice::from_ref(&passed))
                .unwrap();
        assert!(text.starts_with("cannot listen on fd:web from now on: "), "{text}");
        let text = check(&["0.0.0.0:80", "[::]:80"], &["[::]:80"]).unwrap();
        assert!(text.starts_with("[::]:80 cannot begin to take IPv4 clients: "), "{text}");
    }
}
