//! A certificate and its key, as they stand in two files.
//!
//! Decides whether the two belong together and can be shown to a client at all. Called by `app` at the start, at a reload and when a
//! file has changed. Every reason for a refusal says what to do.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::handshake::provider;
use super::{Certificate, Standing};
use crate::config::{CertificateFiles, regular};

/// A certificate with its key, fit to be shown.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What stands in it.
    pub certificate: Certificate,
    /// What is odd about it, a sentence each; it is shown all the same.
    pub oddities: Vec<String>,
    pub(super) key: Arc<CertifiedKey>,
}

/// Why there is no pair, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairError(String);

impl Pair {
    /// The pair in two files.
    ///
    /// # Errors
    /// A sentence that names the file, and says what to do.
    pub fn load(files: &CertificateFiles) -> Result<Self, PairError> {
        let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
        Self::of_pem(&certificate, &key, &Shown::of(files))
    }

    /// How it is with it, a name each, where it comes from `files` and somebody else renews it. `problem`: why what the files have now
    /// is not shown.
    pub fn standings(&self, files: &CertificateFiles, problem: Option<&str>) -> Vec<Standing> {
        let standing = |name: String| Standing {
            name,
            from: files.certificate.display().to_string(),
            not_before: Some(self.certificate.not_before),
            not_after: Some(self.certificate.not_after),
            problem: problem.map(str::to_owned),
            next: None,
        };
        self.certificate.whom().into_iter().map(standing).collect()
    }

    /// The certificate itself, without those that vouch for it.
    pub fn own(&self) -> &CertificateDer<'static> {
        // It has one: there is no pair without.
        self.key.cert.first().unwrap_or(&NONE)
    }

    /// The pair in two texts that are called so.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_pem(certificate: &[u8], key: &[u8], shown: &Shown) -> Result<Self, PairError> {
        let chain = chain(certificate, shown)?;
        let key = private_key(key, shown)?;
        let signing = provider().key_provider.load_private_key(key);
        let signing = signing.map_err(|error| {
            PairError(format!(
                "the key in {} cannot be used: {error}; use one of RSA (2048 bits or more), P-256, P-384 or Ed25519",
                shown.key
            ))
        })?;
        let pair = CertifiedKey::new(chain, signing);
        // What cannot be compared is believed.
        if let Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = pair.keys_match() {
            return Err(misfit(&pair, shown));
        }
        let read = |der| {
            Certificate::read(der).ok_or_else(|| {
                PairError(format!("a certificate in {} cannot be read: the file is damaged", shown.certificate))
            })
        };
        let all = pair.cert.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let oddities = oddities(&all, shown);
        let Some(certificate) = all.into_iter().next() else { return Err(none(shown)) };
        Ok(Self { certificate, oddities, key: Arc::new(pair) })
    }
}

/// What the two are called in messages.
#[derive(Debug, Clone)]
pub struct Shown {
    certificate: String,
    key: String,
}

impl Shown {
    /// As their files.
    pub fn of(files: &CertificateFiles) -> Self {
        Self { certificate: files.certificate.display().to_string(), key: files.key.display().to_string() }
    }

    /// As one file that holds both.
    pub fn one(path: &Path) -> Self {
        Self::called(&path.display().to_string())
    }

    /// As one text that is called so.
    pub fn called(name: &str) -> Self {
        Self { certificate: name.to_owned(), key: name.to_owned() }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PairError> {
    regular::read(path, BYTES_MAX).map_err(|error| {
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => "; balancer's account has to be allowed to read it",
            io::ErrorKind::NotFound => "; write the path of a file in PEM",
            _ => "",
        };
        PairError(format!("cannot read {}: {error}{help}", path.display()))
    })
}

fn chain(bytes: &[u8], shown: &Shown) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let all = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| PairError(format!("{} is not PEM: {error}", shown.certificate)))?;
    if all.is_empty() { Err(none(shown)) } else { Ok(all) }
}

fn none(shown: &Shown) -> PairError {
    PairError(format!(
        "{} holds no certificate: it needs a block that begins with -----BEGIN CERTIFICATE-----",
        shown.certificate
    ))
}

fn private_key(bytes: &[u8], shown: &Shown) -> Result<PrivateKeyDer<'static>, PairError> {
    let path = &shown.key;
    if bytes.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
        return Err(PairError(format!(
            "the key in {path} is encrypted, and nobody is there to type its password: write it without by \
             openssl pkey -in {path} -out plain.key, readable for balancer's account alone"
        )));
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        PairError(format!("{path} holds no private key: it needs a block that begins with -----BEGIN PRIVATE KEY-----"))
    })
}

/// The key is another's: whose, where that can be told.
fn misfit(pair: &CertifiedKey, shown: &Shown) -> PairError {
    let Shown { certificate, key } = shown;
    let fits = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], Arc::clone(&pair.key)).keys_match().is_ok()
    };
    PairError(match pair.cert.iter().position(fits) {
        Some(index) => format!(
            "the certificate of the key in {key} is number {} in {certificate}: put it first, and behind it those that vouch for it",
            index + 1
        ),
        None => format!(
            "the key in {key} does not fit the certificate in {certificate}: they were made apart, or one of them was replaced and the other not yet"
        ),
    })
}

fn oddities(all: &[Certificate], shown: &Shown) -> Vec<String> {
    let path = &shown.certificate;
    let mut oddities = Vec::new();
    if let Some(trouble) = all.first().and_then(|own| own.trouble(Timestamp::now())) {
        oddities.push(format!("the certificate in {path} is served, but {trouble}"));
    }
    if let Some(index) = all.windows(2).position(|two| !two[0].is_vouched_for_by(&two[1])) {
        oddities.push(format!(
            "in {path}, certificate {} does not vouch for certificate {} in front of it: clients may refuse it; each has to be followed by \
             the one that vouches for it",
            index + 2,
            index + 1
        ));
    }
    if all.first().is_some_and(|own| own.names.is_empty() && own.addresses.is_empty()) {
        oddities
            .push(format!("the certificate in {path} is for no name (it has no subjectAltName): clients refuse it"));
    }
    oddities
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PairError {}

static NONE: LazyLock<CertificateDer<'static>> = LazyLock::new(|| CertificateDer::from(Vec::new()));
/// Far above any chain.
const BYTES_MAX: u64 = 1 << 20;
/// In the first line of a block, or in the second (RFC 1421 §4.6.1.1).
const ENCRYPTED: &[u8] = b"ENCRYPTED";
