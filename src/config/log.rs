//! `[log]`

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::ConfigError;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Levels, as of tracing's `EnvFilter`. Default `info,sqlx=warn,sea_orm_migration=warn`.
    /// `TOKEN_SERVER__LOG__FILTER`
    pub filter: String,
    /// `auto` (text on a terminal, JSON elsewhere), `json` or `text`. Default `auto`.
    /// `TOKEN_SERVER__LOG__FORMAT`
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        // Statements and migrations are the libraries' business.
        let filter = "info,sqlx=warn,sea_orm_migration=warn".to_owned();
        Self {
            filter,
            format: LogFormat::Auto,
        }
    }
}

impl LogSettings {
    /// The filter, read.
    ///
    /// # Errors
    /// When it is none.
    pub fn parsed(&self) -> Result<EnvFilter, ConfigError> {
        EnvFilter::try_new(&self.filter)
            .map_err(|error| ConfigError(format!("log.filter: {error}")))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.parsed().map(|_| ())
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
