//! A new connection to an endpoint.
//!
//! Decides which fault it is when there is none. Called by [`super::connection`] and, for connections of many requests, [`super::shared`].
//! Never sends a byte.

use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::super::error::Fault;
use crate::endpoint::{Connected, Endpoint};
use crate::net::{Socket, connect, timeout};

/// A new connection to the endpoint.
///
/// # Errors
/// [`Fault::ConnectFailed`], [`Fault::ConnectTimeout`] or [`Fault::DescriptorLimit`].
pub(super) async fn connect_to(endpoint: &Arc<Endpoint>, within: Duration) -> Result<(Socket, Connected), Fault> {
    let moves = endpoint.moves();
    let opening = async { connect(&endpoint.addresses().await).await };
    match timeout(within, opening).await {
        Ok(Ok(socket)) => Ok((socket, Connected::to(endpoint, moves))),
        Ok(Err(error)) => {
            tracing::debug!(endpoint = &**endpoint.name(), address = %endpoint.address(), %error, "cannot connect");
            Err(match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EMFILE | Errno::ENFILE) => Fault::DescriptorLimit,
                _ => Fault::ConnectFailed,
            })
        }
        Err(_) => Err(Fault::ConnectTimeout),
    }
}
