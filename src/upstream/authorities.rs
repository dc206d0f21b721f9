//! Certificate authorities of the operator's own, beside the usual ones.

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Authorities that are trusted beside the public ones and the machine's.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<Certificate>);

impl Authorities {
    /// Reads certificates out of PEM.
    ///
    /// # Errors
    /// What is wrong with the text: it is not PEM, holds no certificate, or one that cannot be
    /// used.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        for (index, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let unusable = |_| format!("certificate {} cannot be used", index + 1);
            let der = der.map_err(|error| format!("not PEM: {error}"))?;
            store.add(der.clone()).map_err(unusable)?;
            let certificate = Certificate::from_der(&der);
            certificates.push(
                certificate.map_err(|_| format!("certificate {} cannot be used", index + 1))?,
            );
        }
        if certificates.is_empty() {
            return Err(
                "holds no certificate: expected PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
            );
        }
        Ok(Self(certificates))
    }

    pub(super) fn certificates(&self) -> Vec<Certificate> {
        self.0.clone()
    }
}
