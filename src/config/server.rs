//! `[server]`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, TlsSettings, within};
use crate::networks::Networks;

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// The address and port of the API. Default `127.0.0.1:8080`. `TOKEN_SERVER__SERVER__LISTEN`
    pub listen: String,
    /// Listen without TLS on an address that other machines reach: API keys and tokens then cross
    /// the network in plain text, unless something before it ends TLS. Default false.
    /// `TOKEN_SERVER__SERVER__PLAIN_HTTP`
    pub plain_http: bool,
    /// The proxies whose `Forwarded` or `X-Forwarded-For` says who the caller is: networks like
    /// `10.1.0.0/16`, `loopback`, `private`, `unix`, separated by commas. Default none.
    /// `TOKEN_SERVER__SERVER__TRUSTED_PROXIES`
    pub trusted_proxies: String,
    /// A Unix socket to listen on too, in plain HTTP. Default none. `TOKEN_SERVER__SERVER__UNIX`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unix: Option<PathBuf>,
    /// The certificate of the listener.
    pub tls: TlsSettings,
    /// Time for the head of a request, from its first byte. Default 10 s.
    /// `TOKEN_SERVER__SERVER__HEAD_TIMEOUT_SECONDS`
    pub head_timeout_seconds: f64,
    /// Time that a connection is kept without a request: more than a load balancer keeps one (60 s
    /// is common), or it finds the connection closed under its request. Default 75 s.
    /// `TOKEN_SERVER__SERVER__IDLE_TIMEOUT_SECONDS`
    pub idle_timeout_seconds: f64,
    /// Time for the body of a request, from the end of its head. Default 30 s.
    /// `TOKEN_SERVER__SERVER__REQUEST_TIMEOUT_SECONDS`
    pub request_timeout_seconds: f64,
    /// The most connections at once; fewer where the system allows fewer descriptors. Beyond it
    /// those that have been idle the longest are closed. Default 10000.
    /// `TOKEN_SERVER__SERVER__MAX_CONNECTIONS`
    pub max_connections: usize,
    /// The most connections at once of one address. Default 5000.
    /// `TOKEN_SERVER__SERVER__MAX_CONNECTIONS_PER_ADDRESS`
    pub max_connections_per_address: usize,
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
            plain_http: false,
            trusted_proxies: String::new(),
            unix: None,
            tls: TlsSettings::default(),
            head_timeout_seconds: 10.0,
            idle_timeout_seconds: 75.0,
            request_timeout_seconds: 30.0,
            max_connections: 10_000,
            max_connections_per_address: 5000,
            drain_delay_seconds: 2.0,
            drain_timeout_seconds: 15.0,
        }
    }
}

impl ServerSettings {
    /// The address to bind.
    ///
    /// # Errors
    /// When it is no address and port, or not loopback without `plain_http`.
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
        if address.ip().is_loopback() || self.plain_http || self.tls.files()?.is_some() {
            return Ok(address);
        }
        let why = "API keys and tokens would cross the network in plain text";
        let how = "listen on 127.0.0.1, set server.tls.certificate_file and server.tls.key_file, or set \
                   server.plain_http = true if something before it ends TLS";
        Err(ConfigError(format!(
            "server.listen: {address} is not loopback: {why}; {how}"
        )))
    }

    /// Whose word on the caller's address counts.
    ///
    /// # Errors
    /// The setting is not a list of networks.
    pub fn trusted_proxies(&self) -> Result<Networks, ConfigError> {
        let read = self.trusted_proxies.parse();
        read.map_err(|wrong: String| ConfigError(format!("server.trusted_proxies: {wrong}")))
    }

    /// For the head of a request, between requests, and for a body.
    #[must_use]
    pub fn timeouts(&self) -> [Duration; 3] {
        [
            self.head_timeout_seconds,
            self.idle_timeout_seconds,
            self.request_timeout_seconds,
        ]
        .map(Duration::from_secs_f64)
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
        self.trusted_proxies()?;
        self.tls.files()?;
        for (name, seconds) in [
            ("server.head_timeout_seconds", self.head_timeout_seconds),
            ("server.idle_timeout_seconds", self.idle_timeout_seconds),
            (
                "server.request_timeout_seconds",
                self.request_timeout_seconds,
            ),
        ] {
            within(name, seconds, 0.1, 3600.0)?;
        }
        for (name, count) in [
            ("server.max_connections", self.max_connections),
            (
                "server.max_connections_per_address",
                self.max_connections_per_address,
            ),
        ] {
            if !(1..=1_000_000).contains(&count) {
                return Err(ConfigError(format!("{name}: expected 1 to 1000000")));
            }
        }
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
