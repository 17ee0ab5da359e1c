//! Why a handshake with an endpoint has failed, in words that say what to do. Decides whose certificate is the matter; called by whoever
//! shakes hands and by [`Session`](super::Session). Never reads or writes.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why there is no encrypted connection; told with what to do.
#[derive(Debug)]
pub struct HandshakeFailed {
    /// Whether we refuse the peer's certificate.
    pub refuses_certificate: bool,
    text: String,
}

/// What has gone wrong in a handshake with `name`, in words.
pub(super) fn explained(error: io::Error, name: &str) -> io::Error {
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        return failed(error, name);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            let text = "it closed the connection during the TLS handshake: does its port speak TLS, and does it know the name that it \
                        is asked for?";
            failure(false, format!("{text} (asked as {name})"))
        }
        _ => error,
    }
}

/// An alert by which the peer ends a handshake that was over for us: in TLS 1.3 it looks at our certificate behind it. Whatever we
/// have sent by then, it has not looked at.
pub(super) fn late(error: &rustls::Error) -> Option<io::Error> {
    match error {
        rustls::Error::AlertReceived(alert) if is_of_handshake(*alert) => Some(failed(error, "")),
        _ => None,
    }
}

fn is_of_handshake(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired
    )
}

/// The same of what rustls says.
pub(super) fn failed(error: &rustls::Error, name: &str) -> io::Error {
    match error {
        rustls::Error::InvalidCertificate(why) => failure(true, of_certificate(why, name)),
        rustls::Error::NoCertificatesPresented => failure(true, "it shows no certificate".to_owned()),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => failure(
            false,
            "it demands a certificate of ours: add `certificate` and `key` to the table `tls` of its pool".to_owned(),
        ),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            failure(false, format!("it knows no {name}: write the name that it serves as `name` in the table `tls` of its pool"))
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => failure(
            false,
            "it does not speak what it is asked for (ALPN): where it speaks HTTP/1.1 alone, take `http2 = true` out of its pool"
                .to_owned(),
        ),
        rustls::Error::AlertReceived(alert) if is_of_handshake(*alert) => failure(
            false,
            format!(
                "it refuses the TLS handshake ({alert:?}): where it wants a certificate of ours, is the one in the table `tls` of \
                 its pool one that it believes?"
            ),
        ),
        rustls::Error::InvalidMessage(_) => failure(
            false,
            "it does not answer in TLS: write the port that speaks TLS, or take the table `tls` out of its pool".to_owned(),
        ),
        error => failure(
            false,
            format!("the TLS handshake failed: {error}; it has to speak TLS 1.2 or 1.3 with a cipher that is safe today"),
        ),
    }
}

fn of_certificate(why: &CertificateError, name: &str) -> String {
    match why {
        CertificateError::NotValidForName => {
            format!(
                "its certificate is not for {name}: write a name that it has as `name` in the table `tls` of its pool"
            )
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "nobody".to_owned() } else { names };
            format!(
                "its certificate is for {names}, not for {name}: write a name that it has as `name` in the table `tls` of its pool"
            )
        }
        // A CA of the same name with another key has not signed it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is vouched for by nobody whom we believe: write the certificate of its CA into \
             a file, and the path of that as `ca` in the table `tls` of its pool"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it there; until then it gets no request".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: is the clock right, here and there?".to_owned()
        }
        other => format!("its certificate cannot be believed: {other}; replace it there"),
    }
}

/// `DnsName("a.test")` → `a.test`.
fn plain(name: &str) -> &str {
    name.split_once('"').and_then(|(_, rest)| rest.split_once('"')).map_or(name, |(name, _)| name)
}

fn failure(refuses_certificate: bool, text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, HandshakeFailed { refuses_certificate, text })
}

impl HandshakeFailed {
    /// It, where an error is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for HandshakeFailed {}
