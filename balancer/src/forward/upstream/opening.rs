//! A new connection to an endpoint.
//!
//! Decides which fault it is when there is none. Called by [`super::connection`] and, for connections of many requests, [`super::shared`].
//! Never sends a byte of a request.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::super::error::Fault;
use crate::endpoint::{Connected, Endpoint};
use crate::net::{Encryption, HandshakeFailed, Socket, connect, timeout};

/// A new connection to the endpoint, encrypted as is said.
///
/// # Errors
/// [`Fault::ConnectFailed`], [`Fault::ConnectTimeout`], [`Fault::CertificateRefused`], [`Fault::HandshakeFailed`] or
/// [`Fault::DescriptorLimit`].
pub(super) async fn connect_to(
    endpoint: &Arc<Endpoint>,
    within: Duration,
    encryption: &Encryption,
) -> Result<(Socket, Connected), Fault> {
    let moves = endpoint.moves();
    let opening = async { connect(&endpoint.addresses().await, encryption).await };
    match timeout(within, opening).await {
        Ok(Ok(socket)) => Ok((socket, Connected::to(endpoint, moves))),
        Ok(Err(error)) => {
            tracing::debug!(endpoint = &**endpoint.name(), address = %endpoint.address(), %error, "cannot connect");
            Err(refused(endpoint, &error).unwrap_or(match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EMFILE | Errno::ENFILE) => Fault::DescriptorLimit,
                _ => Fault::ConnectFailed,
            }))
        }
        Err(_) => Err(Fault::ConnectTimeout),
    }
}

/// The fault where an error is a handshake that has failed, of which is told now and then: every request would have it told.
pub(super) fn refused(endpoint: &Endpoint, error: &io::Error) -> Option<Fault> {
    let failed = HandshakeFailed::of(error)?;
    if endpoint.is_to_be_told(Instant::now()) {
        tracing::warn!("no TLS with {}: {failed}", endpoint.name());
    }
    Some(if failed.refuses_certificate { Fault::CertificateRefused } else { Fault::HandshakeFailed })
}
