//! `[server.tls]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The certificate of the listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The certificate in PEM, then those between it and an authority. Read anew when it changes.
    /// Default none: no TLS. `TOKEN_SERVER__SERVER__TLS__CERTIFICATE_FILE`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Its private key in PEM. `TOKEN_SERVER__SERVER__TLS__KEY_FILE`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

impl TlsSettings {
    /// Certificate and key, if there is TLS.
    ///
    /// # Errors
    /// One is given without the other.
    pub fn files(&self) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
        match (&self.certificate_file, &self.key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            (Some(_), None) => Err(ConfigError(
                "server.tls.key_file: required beside server.tls.certificate_file".to_owned(),
            )),
            (None, Some(_)) => Err(ConfigError(
                "server.tls.certificate_file: required beside server.tls.key_file".to_owned(),
            )),
        }
    }
}
