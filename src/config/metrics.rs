//! `[metrics]`

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Where metrics are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// The address and port of `/metrics`, a listener of its own. Default `127.0.0.1:9464` if that
    /// port is free; an address that is given must be free. `off`: none.
    /// `TOKEN_SERVER__METRICS__LISTEN`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

/// Where metrics listen if nothing is said.
const DEFAULT_LISTEN: &str = "127.0.0.1:9464";

impl MetricsSettings {
    /// The address to bind, if any.
    ///
    /// # Errors
    /// When it is neither an address and port nor `off`.
    pub fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let listen = self.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
        if listen == "off" {
            return Ok(None);
        }
        let expected = || {
            ConfigError(format!(
                "metrics.listen: expected ADDRESS:PORT or off, found {listen:?}"
            ))
        };
        listen.parse().map(Some).map_err(|_| expected())
    }

    /// Whether the address was given, so that it must be free.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.listen.is_some()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.address().map(|_| ())
    }
}
