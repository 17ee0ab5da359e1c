//! What stands in a certificate: for whom it is, and how long.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What we read of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Names it is for, in lower case; `*.example.com` stands for every name with one label more.
    pub names: Vec<String>,
    /// Addresses it is for.
    pub addresses: Vec<IpAddr>,
    /// It counts from then on.
    pub not_before: Timestamp,
    /// It counts until then.
    pub not_after: Timestamp,
    /// Who it belongs to, as the one that vouches for another names it.
    subject: Vec<u8>,
    /// Who vouches for it.
    issuer: Vec<u8>,
}

impl Certificate {
    /// Reads one; `None` where it is none.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let general = alternatives.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        let address = |name: &GeneralName<'_>| match name {
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        };
        let at = |seconds| Timestamp::from_second(seconds).ok();
        Some(Self {
            names: general.iter().filter_map(name).collect(),
            addresses: general.iter().filter_map(address).collect(),
            not_before: at(certificate.validity().not_before.timestamp())?,
            not_after: at(certificate.validity().not_after.timestamp())?,
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
        })
    }

    /// Whether `other` vouches for this one, by its name.
    pub fn is_vouched_for_by(&self, other: &Self) -> bool {
        self.issuer == other.subject
    }

    /// A sentence, where clients will not accept it at that time.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        let (from, until) = (self.not_before, self.not_after);
        if now > until {
            return Some(format!("it has expired on {until}: clients refuse it until it is renewed"));
        }
        (now < from)
            .then(|| format!("it is not valid before {from}: clients refuse it until then; is the clock right?"))
    }

    /// Whom it is for, in words.
    pub fn shown(&self) -> String {
        self.whom().join(", ")
    }

    /// Each whom it is for: `nobody`, where there is none.
    pub fn whom(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let all: Vec<String> = self.names.iter().cloned().chain(addresses).collect();
        if all.is_empty() { vec!["nobody".to_owned()] } else { all }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
