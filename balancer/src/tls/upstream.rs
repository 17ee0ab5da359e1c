//! Endpoints that speak TLS: whom we believe, and what we show them.
//!
//! Decides by the files that a pool's table `tls` names, or by those whom the system believes. Called by `app` at the start and at a
//! reload. Never speaks to an endpoint.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::handshake::{PROTOCOLS, provider, roots};
use super::{Certificate, Pair};
use crate::config::{UpstreamTls, regular};

/// What it takes to speak TLS to the endpoints of a pool.
#[derive(Debug, Clone)]
pub struct EndpointTls {
    config: Arc<ClientConfig>,
    read: TlsMaterial,
    /// What is odd about our own certificate.
    pub oddity: Option<String>,
}

/// What decides, for telling whether it has changed.
#[derive(Debug, Clone, PartialEq)]
struct TlsMaterial {
    believed: Vec<CertificateDer<'static>>,
    /// Our own certificate, whose key fits.
    shown: Option<Vec<CertificateDer<'static>>>,
    name: Option<String>,
    http2: bool,
}

/// Believes those whom somebody vouches for, and a certificate that stands itself in `ca`, though it may vouch for others: such is
/// what `openssl req -x509` makes.
#[derive(Debug)]
struct Believing {
    by_others: Arc<WebPkiServerVerifier>,
    themselves: Vec<CertificateDer<'static>>,
}

impl EndpointTls {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    /// A sentence that names the file, and says what to do.
    pub fn load(config: &UpstreamTls, http2: bool) -> Result<Self, String> {
        let (store, believed) = match &config.ca {
            Some(path) => of_file(path)?,
            None => of_system()?,
        };
        let pair = config.certificate.as_ref().map(Pair::load).transpose().map_err(|error| error.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider()));
        let by_others = verifier.build().map_err(|error| error.to_string())?;
        let themselves = if config.ca.is_some() { believed.clone() } else { Vec::new() };
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?;
        let builder =
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Believing { by_others, themselves }));
        let mut made = match &pair {
            None => builder.with_no_client_auth(),
            Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&pair.key)))),
        };
        made.alpn_protocols = vec![PROTOCOLS[usize::from(!http2)].to_vec()];
        let trouble = pair.as_ref().and_then(|pair| pair.certificate.trouble(Timestamp::now()));
        let oddity = trouble.zip(config.certificate.as_ref()).map(|(trouble, files)| {
            format!("the certificate in {} is shown to endpoints, but {trouble}", files.certificate.display())
        });
        let shown = pair.map(|pair| pair.key.cert.clone());
        let read = TlsMaterial { believed, shown, name: config.name.clone(), http2 };
        Ok(Self { config: Arc::new(made), read, oddity })
    }

    /// What rustls is told.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name that endpoints have to have a certificate for; `None`: their host.
    pub fn name(&self) -> Option<&str> {
        self.read.name.as_deref()
    }

    /// Whether both believe and show the same.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.read == other.read
    }
}

type Roots = (RootCertStore, Vec<CertificateDer<'static>>);

fn of_file(path: &Path) -> Result<Roots, String> {
    let pem = regular::read(path, BYTES_MAX);
    let pem = pem
        .map_err(|error| format!("cannot read {}: {error}; write the path of a file in PEM as `ca`", path.display()))?;
    let store = roots(&pem).map_err(|error| format!("{} {error}", path.display()))?;
    Ok((store, CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect()))
}

fn of_system() -> Result<Roots, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs.iter().cloned());
    if store.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(format!(
            "this system has no list of CAs to believe{why}: install it (Debian: ca-certificates), or name a file with those who vouch \
             for the endpoints as `ca`"
        ));
    }
    Ok((store, found.certs))
}

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.by_others.verify_server_cert(own, others, name, ocsp, now) {
            // By whatever means it is refused but by its name and its time, for which there are other errors.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if self.themselves.contains(own) => {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                let certificate = Certificate::read(own).ok_or(CertificateError::BadEncoding)?;
                let now = i64::try_from(now.as_secs()).ok().and_then(|now| Timestamp::from_second(now).ok());
                let now = now.ok_or(Error::FailedToGetCurrentTime)?;
                if now > certificate.not_after {
                    return Err(CertificateError::Expired.into());
                }
                if now < certificate.not_before {
                    return Err(CertificateError::NotValidYet.into());
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_others.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_others.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_others.supported_verify_schemes()
    }
}

/// Far above any list of those who vouch for others.
const BYTES_MAX: u64 = 4 << 20;
