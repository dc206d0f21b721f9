//! How a command ends when it does not succeed.

use std::io::Write as _;
use std::process::ExitCode;

use crate::app::StartError;
use crate::store::StoreError;

/// An error with the exit code it is due, as of `sysexits.h`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Exit {
    code: u8,
    message: String,
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const CONFIG: u8 = 78;

impl Exit {
    /// Something was refused, or failed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            message: message.into(),
        }
    }

    /// What was given is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            message: message.into(),
        }
    }

    /// A server or database cannot be reached.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            code: UNAVAILABLE,
            message: message.into(),
        }
    }

    /// The configuration is wrong.
    pub(super) fn config(message: impl Into<String>) -> Self {
        Self {
            code: CONFIG,
            message: message.into(),
        }
    }

    /// What a store's error is worth.
    #[expect(clippy::needless_pass_by_value, reason = "takes what map_err gives")]
    pub(super) fn store(error: StoreError) -> Self {
        let message = error.to_string();
        match &error {
            StoreError::Unavailable(_) | StoreError::RefusesWrites(_) => Self::unavailable(message),
            StoreError::NewerSchema(_)
            | StoreError::DevelopmentSchema(_)
            | StoreError::BadUrl(_) => Self::config(message),
            StoreError::Conflict(_) | StoreError::Corrupt { .. } => Self::failed(message),
        }
    }

    /// Why a server did not start, or ended.
    pub(super) fn start(error: StartError) -> Self {
        match error {
            StartError::Config(message) => Self::config(message),
            StartError::Listen(message) => Self::unavailable(message),
            StartError::Store(error) => Self::store(error),
            StartError::Ready(message) => Self::failed(message),
            StartError::Upstream(_) | StartError::System(_) => Self::failed(error.to_string()),
        }
    }

    /// Prints an error and answers its exit code.
    #[must_use]
    pub fn report(error: &anyhow::Error) -> ExitCode {
        let code = error
            .downcast_ref::<Self>()
            .map_or(FAILED, |exit| exit.code);
        // Nothing can be done when standard error is closed.
        let _ = writeln!(std::io::stderr(), "token-server: {error:#}");
        ExitCode::from(code)
    }
}
