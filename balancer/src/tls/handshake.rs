//! What a handshake may agree on: versions, ciphers, what is spoken, tickets for the next one.

use std::sync::{Arc, LazyLock, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};

use crate::config::ClientAuth;

/// What is the same for every certificate.
#[derive(Debug, Clone)]
pub struct Handshakes {
    /// One for all threads: a client comes back to whichever. Its keys change every six hours. Made for the first certificate: the first
    /// random bytes of the library take 0.1 s of CPU time, which nobody shall wait for who serves no TLS.
    ticketer: Arc<OnceLock<Arc<dyn ProducesTickets>>>,
    clients: Arc<dyn ClientCertVerifier>,
    /// Whether HTTP/2 may be agreed on.
    http2: bool,
}

/// Shows one certificate, whoever asks.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

/// Shows none, at which the client is told that it has no access here.
#[derive(Debug)]
struct Nobody;

impl Handshakes {
    /// With tickets of their own: who resumes shows no certificate again, so that tickets must not be good for anything but what they
    /// were made for. `clients` says whose certificates count, in PEM, and whether a client has to show one.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(clients: Option<(&[u8], ClientAuth)>) -> Result<Self, String> {
        let clients = clients.map_or_else(|| Ok(WebPkiClientVerifier::no_client_auth()), verifier);
        Ok(Self { ticketer: Arc::default(), clients: clients?, http2: false })
    }

    /// The same, with HTTP/2 offered to clients, or not.
    #[must_use]
    pub fn offering(self, http2: bool) -> Self {
        Self { http2, ..self }
    }

    /// Those that show `key`.
    pub(super) fn showing(&self, key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, Error> {
        let mut config =
            builder()?.with_client_cert_verifier(Arc::clone(&self.clients)).with_cert_resolver(Arc::new(Only(key)));
        config.ticketer = self.ticketer()?;
        // A cache would be one lock for all threads.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let offered = &PROTOCOLS[usize::from(!self.http2)..];
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn ticketer(&self) -> Result<Arc<dyn ProducesTickets>, Error> {
        if let Some(ticketer) = self.ticketer.get() {
            return Ok(Arc::clone(ticketer));
        }
        let new = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::clone(self.ticketer.get_or_init(|| new)))
    }
}

fn verifier((pem, auth): (&[u8], ClientAuth)) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), Arc::clone(provider()));
    let builder = match auth {
        ClientAuth::Require => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| error.to_string())
}

/// Those who vouch for others, of a text in PEM.
///
/// # Errors
/// The end of a sentence that begins with the name of the text.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("holds a certificate that cannot vouch for others: {error}"))?;
    }
    if roots.is_empty() {
        return Err("holds no certificate: it needs a block that begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(roots)
}

/// How we ask others over TLS: they are believed whom those of `ca` vouch for (PEM), or those whom browsers believe.
///
/// # Errors
/// The end of a sentence that begins with the name of `ca`.
pub fn asking(ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca {
        Some(pem) => roots(pem)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider())).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Those by which a CA asks whether a name is ours: with the answer, and nothing else (RFC 8737 §3). Whoever asks shows no certificate.
pub(super) fn answering(certificate: CertificateDer<'static>, key: Vec<u8>) -> Result<Arc<ServerConfig>, Error> {
    let key = provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(key).into())?;
    let pair = Arc::new(CertifiedKey::new(vec![certificate], key));
    let mut config = builder()?.with_no_client_auth().with_cert_resolver(Arc::new(Only(pair)));
    config.alpn_protocols = vec![QUESTION.to_vec()];
    Ok(Arc::new(config))
}

/// Those that end in a refusal.
pub(super) fn refusing() -> Result<Arc<ServerConfig>, Error> {
    Ok(Arc::new(builder()?.with_no_client_auth().with_cert_resolver(Arc::new(Nobody))))
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    ServerConfig::builder_with_provider(Arc::clone(provider())).with_protocol_versions(&[&TLS13, &TLS12])
}

/// Where the mathematics comes from.
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    &PROVIDER
}

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// What a CA speaks that asks (RFC 8737 §6.2).
pub const QUESTION: &[u8] = b"acme-tls/1";
/// What can be spoken, what we like best first (RFC 7301).
pub(super) const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
