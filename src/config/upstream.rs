//! `[upstream]`

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, within};
use crate::upstream::{Authorities, Egress, Limits};

/// What a provider may cost.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSettings {
    /// Time to connect, TLS included. Default 3 s.
    /// `TOKEN_SERVER__UPSTREAM__CONNECT_TIMEOUT_SECONDS`
    pub connect_timeout_seconds: f64,
    /// Time for the whole fetch. Default 10 s. `TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS`
    pub timeout_seconds: f64,
    /// The largest response read, in bytes. Default 1 MiB.
    /// `TOKEN_SERVER__UPSTREAM__MAX_RESPONSE_BYTES`
    pub max_response_bytes: usize,
    /// A proxy for all calls of providers, `http://HOST:PORT`. Default none; the environment's
    /// `HTTPS_PROXY` is not read. `TOKEN_SERVER__UPSTREAM__PROXY_URL`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    /// A PEM file of certificate authorities that are trusted for all calls of providers, beside
    /// the public ones and the machine's. Default none; certificates are always verified.
    /// `TOKEN_SERVER__UPSTREAM__CA_FILE`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What may be called beside public addresses, separated by commas: `loopback`, `private`,
    /// `shared`, `any`, networks like `10.1.0.0/16`. Default none. `TOKEN_SERVER__UPSTREAM__ALLOW_NETWORKS`
    pub allow_networks: String,
    /// Whether secrets may go over `http://` to public addresses. Only `dev` sets it.
    #[serde(skip)]
    pub plain_http: bool,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout_seconds: 3.0,
            timeout_seconds: 10.0,
            max_response_bytes: 1 << 20,
            proxy_url: None,
            ca_file: None,
            allow_networks: String::new(),
            plain_http: false,
        }
    }
}

impl std::fmt::Debug for UpstreamSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UpstreamSettings({:?})", self.limits())
    }
}

impl UpstreamSettings {
    /// The bounds of one fetch.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            connect: Duration::from_secs_f64(self.connect_timeout_seconds),
            response_bytes: self.max_response_bytes,
        }
    }

    /// Which addresses may be called.
    ///
    /// # Errors
    /// The setting is no list of networks.
    pub fn egress(&self) -> Result<Egress, ConfigError> {
        let read = self.allow_networks.parse::<Egress>();
        let read = read.map(|egress| egress.with_plain_http(self.plain_http));
        read.map_err(|wrong: String| ConfigError(format!("upstream.allow_networks: {wrong}")))
    }

    /// The authorities of `ca_file`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate that can be used.
    pub fn authorities(&self) -> Result<Authorities, ConfigError> {
        let Some(file) = &self.ca_file else {
            return Ok(Authorities::default());
        };
        let wrong =
            |why: String| ConfigError(format!("upstream.ca_file: {}: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        Authorities::read(&pem).map_err(wrong)
    }

    /// Time for the whole fetch, where a realm's policy names none.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_seconds)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within(
            "upstream.connect_timeout_seconds",
            self.connect_timeout_seconds,
            0.01,
            600.0,
        )?;
        within(
            "upstream.timeout_seconds",
            self.timeout_seconds,
            0.01,
            600.0,
        )?;
        if !(1024..=1 << 30).contains(&self.max_response_bytes) {
            return Err(ConfigError(
                "upstream.max_response_bytes: expected 1024 to 1073741824".to_owned(),
            ));
        }
        self.egress()?;
        self.authorities()?;
        let is_usable = |text: &String| {
            let url = url::Url::parse(text);
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if self.proxy_url.as_ref().is_none_or(is_usable) {
            return Ok(());
        }
        // It may hold a password: it is not repeated.
        Err(ConfigError(
            "upstream.proxy_url: expected a URL like http://HOST:PORT".to_owned(),
        ))
    }

    /// The same without the proxy's password and query.
    pub(super) fn redacted(&self) -> Self {
        let redact = |text: &String| match url::Url::parse(text) {
            Ok(mut url) => {
                if url.password().is_some() {
                    // A URL with a password can have another.
                    let _ = url.set_password(Some("***"));
                }
                if url.query().is_some() {
                    url.set_query(Some("***"));
                }
                url.set_fragment(None);
                url.to_string()
            }
            Err(_) => "***".to_owned(),
        };
        Self {
            proxy_url: self.proxy_url.as_ref().map(redact),
            ..self.clone()
        }
    }
}
