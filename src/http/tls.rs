//! TLS of the listener: a certificate that is replaced without dropping connections, and client
//! certificates that stand for API keys.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::api_key::KeyHash;
use crate::clock::Timestamp;
use crate::service::ApiKeys;

/// The name of HTTP/2 in a handshake.
pub(super) const HTTP2: &[u8] = b"h2";

/// The files of a certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What can be told of the files without reading them.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// TLS with the certificate of the moment.
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    clients: Arc<Clients>,
    current: ArcSwap<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    ends: Timestamp,
    stamp: Stamp,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.files)
    }
}

impl Tls {
    /// With the certificate of these files; clients may show one that stands for an API key.
    ///
    /// # Errors
    /// What is wrong with the files: unreadable, not PEM, expired, or they do not fit each other.
    pub fn load(files: TlsFiles, api_keys: ApiKeys, now: Timestamp) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = Arc::new(Clients {
            api_keys,
            algorithms: provider.signature_verification_algorithms,
        });
        let current = read(&files, &provider, &clients, now)?;
        Ok(Self {
            files,
            provider,
            clients,
            current: ArcSwap::from_pointee(current),
        })
    }

    /// Takes the files as they are now, for new connections; whether they differ.
    ///
    /// # Errors
    /// As [`Tls::load`]; the certificate before goes on.
    pub fn reload(&self, now: Timestamp) -> Result<bool, String> {
        if self.current.load().stamp == stamp(&self.files) {
            return Ok(false);
        }
        let read = read(&self.files, &self.provider, &self.clients, now)?;
        self.current.store(Arc::new(read));
        Ok(true)
    }

    /// When the certificate ends.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.current.load().ends
    }

    /// The handshake of a connection; what its client certificate hashes to.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Option<KeyHash>)> {
        let config = Arc::clone(&self.current.load().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let hash = shown
            .and_then(|all| all.first())
            .map(|der| KeyHash::of(der));
        Ok((stream, hash))
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|file| {
        let seen = std::fs::metadata(file).ok()?;
        Some((seen.modified().ok()?, seen.len()))
    })
}

fn read(
    files: &TlsFiles,
    provider: &Arc<CryptoProvider>,
    clients: &Arc<Clients>,
    now: Timestamp,
) -> Result<Current, String> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let stamp = stamp(files);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("server.tls.certificate_file: {certificate}: {error}"))?;
    let ends = chain
        .first()
        .and_then(|first| validity(first))
        .ok_or_else(|| {
            format!("server.tls.certificate_file: {certificate} holds no certificate in PEM")
        })?
        .1;
    if ends <= now {
        let at = ends.rfc3339();
        return Err(format!(
            "server.tls.certificate_file: {certificate}: the certificate expired at {at}"
        ));
    }
    // What the key's file holds is not repeated.
    let private = PrivateKeyDer::from_pem_file(&files.key).map_err(|_| {
        format!("server.tls.key_file: {key} cannot be read as a private key in PEM")
    })?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
        let why = if matches!(error, Error::InconsistentKeys(_)) {
            "is not the key of the certificate".to_owned()
        } else {
            format!("cannot be used: {error}")
        };
        format!("server.tls.key_file: {key} {why}")
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::clone(clients) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(Current {
        config: Arc::new(config),
        ends,
        stamp,
    })
}

/// From when to when a certificate is valid.
fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let of = |seconds: i64| Timestamp::from_epoch_ms(seconds.saturating_mul(1000));
    let validity = certificate.validity();
    Some((
        of(validity.not_before.timestamp()),
        of(validity.not_after.timestamp()),
    ))
}

/// Client certificates: any may be shown, as the API key that it stands for is looked up by its
/// hash. That the client has the private key is proven in the handshake; who signed the
/// certificate does not matter.
struct Clients {
    api_keys: ApiKeys,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl ClientCertVerifier for Clients {
    /// Browsers ask their user when a certificate is wanted: so none is, while none stands for a
    /// key.
    fn offer_client_auth(&self) -> bool {
        self.api_keys.has_certificates()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let (begins, ends) =
            validity(end_entity).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let now_ms = i64::try_from(now.as_secs().saturating_mul(1000)).unwrap_or(i64::MAX);
        let now = Timestamp::from_epoch_ms(now_ms);
        if now < begins || now >= ends {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
