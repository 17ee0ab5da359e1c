//! Opens and closes what the service listens on, at the start and at a reload.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::Instance;
use super::accept;
use super::access::AdminAuth;
use super::instance::SAMPLE;
use super::live;
use super::opened::{Opened, Reopened, StartError};
use super::socket::AdminSocketFile;
use crate::config;

/// The running service; dropping it closes everything and removes the socket.
#[derive(Debug)]
pub struct AdminServer {
    instance: Arc<Instance>,
    /// Who accepts at the socket, and who does at the address.
    socket: JoinSet<()>,
    address: JoinSet<()>,
    /// That of the address, which may be given another token.
    listener: Option<std::net::TcpListener>,
    _sampling: JoinSet<()>,
}

impl AdminServer {
    /// Serves what was opened.
    ///
    /// # Errors
    /// When the runtime refuses a listener.
    pub fn start(instance: &Arc<Instance>, opened: Opened) -> io::Result<Self> {
        let mut sampling = JoinSet::new();
        let sampled = Arc::clone(instance);
        sampling.spawn(async move {
            loop {
                sampled.sample();
                if sampled.live.receiver_count() > 0 {
                    sampled.live.send_replace(live::status(&sampled));
                }
                tokio::time::sleep(SAMPLE).await;
            }
        });
        let (socket, address) = (JoinSet::new(), JoinSet::new());
        let mut server = Self { instance: Arc::clone(instance), socket, address, listener: None, _sampling: sampling };
        if let Some((listener, file)) = opened.socket {
            server.serve_socket(listener, file)?;
        }
        if let Some((listener, auth)) = opened.address {
            server.serve_address(listener, auth)?;
        }
        Ok(server)
    }

    /// Opens what is different in `new`, and changes nothing yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(&self, old: &config::Admin, new: &config::Admin) -> Result<Reopened, StartError> {
        let listener = self.listener.as_ref().filter(|_| old.address == new.address);
        Reopened::new(&self.instance.name, self.instance.path.as_deref(), (old, new), listener)
    }

    /// Serves that from now on. Whoever is connected stays so.
    pub fn change(&mut self, reopened: Reopened) {
        if let Some(socket) = reopened.socket {
            self.socket.abort_all();
            if let Some(error) = socket.and_then(|(listener, file)| self.serve_socket(listener, file).err()) {
                tracing::error!(%error, "no admin socket");
            }
        }
        if let Some(address) = reopened.address {
            self.address.abort_all();
            self.listener = None;
            if let Some(error) = address.and_then(|(listener, auth)| self.serve_address(listener, auth).err()) {
                tracing::error!(%error, "no admin service");
            }
        }
    }

    fn serve_socket(&mut self, listener: std::os::unix::net::UnixListener, file: AdminSocketFile) -> io::Result<()> {
        let listener = UnixListener::from_std(listener)?;
        tracing::info!("admin socket at {}", file.path().display());
        self.socket.spawn(accept::unix(listener, file, Arc::clone(&self.instance)));
        Ok(())
    }

    fn serve_address(&mut self, listener: std::net::TcpListener, auth: AdminAuth) -> io::Result<()> {
        self.listener = Some(listener.try_clone()?);
        let listener = TcpListener::from_std(listener)?;
        let bound = listener.local_addr()?;
        tracing::info!("admin service on http://{bound}/");
        self.address.spawn(accept::tcp(listener, auth, Arc::clone(&self.instance)));
        Ok(())
    }
}
