//! The answer to a CA that asks whether a name is ours, shown as long as it is held.

use std::sync::Arc;

use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use super::failure::OrderFailure;
use super::history::Challenge;
use crate::tls::Certificates;

/// One answer; dropping it ends it, whatever has become of the order.
pub(super) struct ChallengeAnswer {
    certificates: Arc<Certificates>,
    asked: AskedBy,
}

enum AskedBy {
    /// By a handshake, for this name.
    Handshake(String),
    /// By a request, for this token.
    Request(String),
}

impl ChallengeAnswer {
    /// To the question for `name` by `challenge` with `token`.
    pub(super) fn show(
        certificates: &Arc<Certificates>,
        (name, challenge, token): (&str, Challenge, &str),
        authorization: &KeyAuthorization,
    ) -> Result<Self, OrderFailure> {
        let asked = match challenge {
            Challenge::TlsAlpn01 => {
                let failed = |error| OrderFailure::other(format!("the answer to the CA cannot be made: {error}"));
                let (certificate, key) = certificate(name, authorization.digest().as_ref()).map_err(failed)?;
                certificates.ask(name, (certificate, key)).map_err(OrderFailure::other)?;
                AskedBy::Handshake(name.to_owned())
            }
            Challenge::Http01 => {
                certificates.answer(token, authorization.as_str());
                AskedBy::Request(token.to_owned())
            }
        };
        Ok(Self { certificates: Arc::clone(certificates), asked })
    }
}

impl Drop for ChallengeAnswer {
    fn drop(&mut self) {
        match &self.asked {
            AskedBy::Handshake(name) => self.certificates.asked(name),
            AskedBy::Request(token) => self.certificates.answered(token),
        }
    }
}

/// One that vouches for itself and holds the answer (RFC 8737 §3), with its key in PKCS #8.
fn certificate(
    name: &str,
    digest: &[u8],
) -> Result<(rustls::pki_types::CertificateDer<'static>, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    Ok((params.self_signed(&key)?.der().clone(), key.serialize_der()))
}
