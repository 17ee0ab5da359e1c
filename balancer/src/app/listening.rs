//! An address that is listened on, from start to close.
//!
//! Decides when a socket that was removed is made again. Held by `live`. Never closes a listener.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::ListenAddress;
use crate::listen::{self, Control, Listener, Passed};
use crate::net::SocketFile;

/// An address that is listened on.
pub(super) struct Listening {
    pub(super) configured: ListenAddress,
    /// Not the same where the port is 0.
    pub(super) bound: ListenAddress,
    /// Of a Unix listener: what it is now.
    pub(super) file: Option<Arc<Mutex<Watched>>>,
    /// Who looks after that.
    _watching: JoinSet<()>,
}

impl Listening {
    /// The queues of `listener` are the threads'.
    pub(super) fn new(configured: ListenAddress, listener: Listener, control: &Arc<Control>) -> Self {
        let mut watching = JoinSet::new();
        let file = listener.file.map(|file| Arc::new(Mutex::new(Watched { address: configured.clone(), file })));
        if let Some(watched) = &file {
            watching.spawn(look_after(Arc::clone(watched), listener.address.clone(), Arc::clone(control)));
        }
        Self { configured, bound: listener.address, file, _watching: watching }
    }
}

/// The file of a Unix listener, and who may connect there; the file is removed with it.
pub(super) struct Watched {
    pub(super) address: ListenAddress,
    pub(super) file: SocketFile,
}

/// Listens anew where the file of a Unix listener was removed under us, as those do who tidy up temporary directories.
async fn look_after(watched: Arc<Mutex<Watched>>, bound: ListenAddress, control: Arc<Control>) {
    let mut said = false;
    loop {
        sleep(LOOK).await;
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.file.is_there() {
            said = false;
            continue;
        }
        let address = watched.address.clone();
        let opened = listen::open(&address, std::slice::from_ref(&address), control.threads(), &mut Passed::default());
        // By the name that it has with the threads, whoever may connect now: they close what they had by that name.
        let named = |mut opened: Listener| {
            opened.address = bound.clone();
            opened
        };
        match opened.map(named).and_then(|opened| control.open(&opened).map(|()| opened.file)) {
            Ok(Some(again)) => {
                watched.file = again;
                tracing::warn!("the socket file of {address} was removed; it was made again");
            }
            Ok(None) => return,
            Err(error) if !said => {
                said = true;
                tracing::error!(
                    "the socket file of {address} was removed and cannot be made again, so clients cannot connect: {error}"
                );
            }
            Err(_) => {}
        }
    }
}

/// Between two looks whether the file of a socket is there.
const LOOK: Duration = Duration::from_secs(1);
