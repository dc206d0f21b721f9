//! `[database]`

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::store::DatabaseUrl;

/// Where everything is kept.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseSettings {
    /// `sqlite:FILE`, `mysql://…` or `postgres://…`. Default `sqlite:token-server.db`, created on
    /// first start. `TOKEN_SERVER__DATABASE__URL`, or the inherited `MYSQL_HOST`, `MYSQL_PORT`,
    /// `MYSQL_USERNAME`, `MYSQL_PASSWORD` and `MYSQL_DATABASE`.
    pub url: String,
    /// Connections held at most. Default 10. `TOKEN_SERVER__DATABASE__MAX_CONNECTIONS`
    pub max_connections: u32,
    /// Time a statement has, the wait for a connection included. Default 5 s.
    /// `TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS`
    pub timeout_seconds: f64,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: "sqlite:token-server.db".to_owned(),
            max_connections: 10,
            timeout_seconds: 5.0,
        }
    }
}

impl std::fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl DatabaseSettings {
    /// The URL, checked.
    ///
    /// # Errors
    /// When it is not usable; also when another setting of the section is not.
    pub fn parsed(&self) -> Result<DatabaseUrl, ConfigError> {
        super::within("database.timeout_seconds", self.timeout_seconds, 0.1, 600.0)?;
        if !(1..=1000).contains(&self.max_connections) {
            return Err(ConfigError(
                "database.max_connections: expected 1 to 1000".to_owned(),
            ));
        }
        DatabaseUrl::read(&self.url).map_err(|error| ConfigError(error.to_string()))
    }

    /// See the field.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_seconds)
    }
}
