//! `[log]`

use serde::{Deserialize, Serialize};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Levels, as of tracing's `EnvFilter`. Default `info`. `TOKEN_SERVER__LOG__FILTER`
    pub filter: String,
    /// `auto` (text on a terminal, JSON elsewhere), `json` or `text`. Default `auto`. `TOKEN_SERVER__LOG__FORMAT`
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        // Statements and migrations are the libraries' business.
        let filter = "info,sqlx=warn,sea_orm_migration=warn".to_owned();
        Self { filter, format: LogFormat::Auto }
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
