//! Certificates of a CA of the test, and clients that speak TLS.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::PATIENCE;

/// Somebody who vouches for others.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "the authority of a test");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// One that is for these names itself, as `openssl req -x509` makes it.
    pub(crate) fn for_itself(names: &[&str]) -> Self {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its own certificate, and its key.
    pub(crate) fn pair(&self) -> (String, String) {
        (self.pem(), self.0.key().serialize_pem())
    }

    /// A certificate for these names, and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, |_| {})
    }

    /// The same, changed before it is signed.
    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// The same in files of `directory`: the text of a table for `certificates`, and the two paths.
    pub(crate) fn issue_into(&self, directory: &Path, names: &[&str]) -> (String, PathBuf, PathBuf) {
        let (certificate, key) = self.issue(names);
        write_pair(directory, names[0].trim_start_matches("*."), &certificate, &key)
    }
}

/// Writes a pair: the text of a table for `certificates`, and the two paths.
pub(crate) fn write_pair(directory: &Path, name: &str, certificate: &str, key: &str) -> (String, PathBuf, PathBuf) {
    let (certificate_path, key_path) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    std::fs::write(&certificate_path, certificate).unwrap();
    std::fs::write(&key_path, key).unwrap();
    (format!("{{ certificate = {certificate_path:?}, key = {key_path:?} }}"), certificate_path, key_path)
}

/// How a client speaks TLS.
#[derive(Clone)]
pub(crate) struct Speaks {
    pub(crate) config: ClientConfig,
}

impl Speaks {
    /// One that believes `authority`, and shows nothing of its own.
    pub(crate) fn believing(authority: &Authority) -> Self {
        Self::versions(authority, rustls::ALL_VERSIONS)
    }

    /// One that believes those in a text in PEM.
    pub(crate) fn believing_pem(pem: &str) -> Self {
        Self { config: builder_of(pem, rustls::ALL_VERSIONS).with_no_client_auth() }
    }

    pub(crate) fn versions(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let builder = builder(authority, versions);
        Self { config: builder.with_no_client_auth() }
    }

    /// One that shows a certificate of its own.
    pub(crate) fn showing(authority: &Authority, (certificate, key): &(String, String)) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Self { config: builder(authority, rustls::ALL_VERSIONS).with_client_auth_cert(chain, key).unwrap() }
    }

    /// Connects and shakes hands as far as it goes.
    pub(crate) fn to(&self, address: SocketAddr, name: &str) -> std::io::Result<Secure> {
        let tls = ClientConnection::new(Arc::new(self.config.clone()), ServerName::try_from(name.to_owned()).unwrap());
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut secure = Secure { tls: tls.unwrap(), socket };
        while secure.tls.is_handshaking() {
            secure.tls.complete_io(&mut secure.socket)?;
        }
        Ok(secure)
    }
}

fn builder(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    builder_of(&authority.pem(), versions)
}

fn builder_of(
    pem: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots)
}

/// A connection that is encrypted.
pub(crate) struct Secure {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: TcpStream,
}

impl Secure {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write_all(bytes.as_ref()).unwrap();
        self.flush().unwrap();
    }

    /// A `GET` that keeps the connection: head and body of the response.
    pub(crate) fn get(&mut self, target: &str) -> String {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"));
        self.response()
    }

    /// A response whose body has a length.
    pub(crate) fn response(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push(char::from(self.byte()));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.read_exact(&mut body).unwrap();
        text + &String::from_utf8_lossy(&body)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// All until the other side says that nothing follows; an error where it just goes.
    pub(crate) fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.read_to_end(&mut rest).map(|_| rest)
    }

    /// Says that nothing follows, and goes on listening.
    pub(crate) fn half_close(&mut self) {
        self.tls.send_close_notify();
        self.flush().unwrap();
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, TcpStream> {
        rustls::Stream::new(&mut self.tls, &mut self.socket)
    }
}

impl Read for Secure {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.stream().read(bytes)
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream().flush()
    }
}
