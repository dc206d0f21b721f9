//! `[server]`

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, within};

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// The address and port of the API. Default `127.0.0.1:8080`. `TOKEN_SERVER__SERVER__LISTEN`
    pub listen: String,
    /// Serve other machines although there is no authentication yet. Default false.
    /// `TOKEN_SERVER__SERVER__INSECURE_NO_AUTH`
    pub insecure_no_auth: bool,
    /// Time a client has to send its request's head, the idle time of a kept connection included:
    /// more than a load balancer keeps one (60 s is common), or it finds the connection closed
    /// under its request. Default 75 s. `TOKEN_SERVER__SERVER__HEADER_TIMEOUT_SECONDS`
    pub header_timeout_seconds: f64,
    /// After TERM, time in which `/readyz` says 503 while requests are still taken, so that a load
    /// balancer notices. Default 2 s. `TOKEN_SERVER__SERVER__DRAIN_DELAY_SECONDS`
    pub drain_delay_seconds: f64,
    /// After that, time that requests and fetches have to finish. Default 15 s.
    /// `TOKEN_SERVER__SERVER__DRAIN_TIMEOUT_SECONDS`
    pub drain_timeout_seconds: f64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            insecure_no_auth: false,
            header_timeout_seconds: 75.0,
            drain_delay_seconds: 2.0,
            drain_timeout_seconds: 15.0,
        }
    }
}

impl ServerSettings {
    /// The address to bind.
    ///
    /// # Errors
    /// When it is no address and port, or not loopback without `insecure_no_auth`.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let listen = self
            .listen
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        let address: SocketAddr =
            listen
                .as_deref()
                .unwrap_or(&self.listen)
                .parse()
                .map_err(|_| {
                    let found = &self.listen;
                    ConfigError(format!(
                        "server.listen: expected ADDRESS:PORT like 127.0.0.1:8080, found {found:?}"
                    ))
                })?;
        if address.ip().is_loopback() || self.insecure_no_auth {
            return Ok(address);
        }
        let why = "anyone who reaches it could read every token, as there is no authentication yet";
        let how = "listen on 127.0.0.1, or give --insecure-no-auth if the network is closed";
        Err(ConfigError(format!(
            "server.listen: {address} is not loopback: {why}; {how}"
        )))
    }

    /// See the field.
    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.header_timeout_seconds)
    }

    /// See the field.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs_f64(self.drain_delay_seconds)
    }

    /// See the field.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.drain_timeout_seconds)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.address()?;
        within(
            "server.header_timeout_seconds",
            self.header_timeout_seconds,
            0.1,
            3600.0,
        )?;
        within(
            "server.drain_delay_seconds",
            self.drain_delay_seconds,
            0.0,
            3600.0,
        )?;
        within(
            "server.drain_timeout_seconds",
            self.drain_timeout_seconds,
            0.0,
            3600.0,
        )
    }
}
