//! Why a server did not start, or ended.

use crate::config::ConfigError;
use crate::store::StoreError;
use crate::upstream::SetupError;

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
    /// A port cannot be listened on.
    #[error("{0}")]
    Listen(String),
    /// The database cannot be used, now or ever.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// What was to be done when the server was ready failed.
    #[error("{0}")]
    Ready(String),
    /// The system refused.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

pub(super) fn wrong(error: ConfigError) -> StartError {
    StartError::Config(error.0)
}
