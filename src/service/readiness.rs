//! Whether this process can serve.

use std::sync::{Mutex, PoisonError};

/// The stages of a process's life.
#[derive(Debug)]
enum Stage {
    /// Not yet; why.
    Starting(String),
    /// The store was reached and its schema is right.
    Serving,
    /// Told to end.
    Draining,
}

/// Something about the configuration that should be changed, although the process serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingWarning {
    /// Stable, for monitoring: `database_tls_unverified`.
    pub code: &'static str,
    /// What is the matter and what to do. Anybody may read it: it holds no path and no address.
    pub detail: String,
}

/// Shared by the start-up, the drain and `/readyz`.
#[derive(Debug)]
pub struct Readiness {
    stage: Mutex<Stage>,
    warnings: Mutex<Vec<StandingWarning>>,
}

impl Default for Readiness {
    fn default() -> Self {
        let reason = "the database has not been reached yet".to_owned();
        Self {
            stage: Mutex::new(Stage::Starting(reason)),
            warnings: Mutex::default(),
        }
    }
}

impl Readiness {
    /// Notes why the start is not done yet.
    pub fn set_starting(&self, reason: impl Into<String>) {
        self.set(Stage::Starting(reason.into()));
    }

    /// Notes that requests can be served.
    pub fn set_serving(&self) {
        self.set(Stage::Serving);
    }

    /// Notes that the process ends.
    pub fn set_draining(&self) {
        self.set(Stage::Draining);
    }

    /// Adds a warning that `/readyz` shows from now on; the same one only once.
    pub fn warn(&self, code: &'static str, detail: impl Into<String>) {
        let warning = StandingWarning {
            code,
            detail: detail.into(),
        };
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Takes back the warnings of a code: what they were of is over.
    pub fn settle(&self, code: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.retain(|warning| warning.code != code);
    }

    /// The warnings, oldest first.
    #[must_use]
    pub fn warnings(&self) -> Vec<StandingWarning> {
        let warnings = self.warnings.lock();
        warnings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, stage: Stage) {
        let mut held = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*held, Stage::Draining) {
            *held = stage;
        }
    }

    /// Why the start is not done; `None` when it is.
    #[must_use]
    pub fn starting(&self) -> Option<String> {
        match &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting(reason) => Some(reason.clone()),
            Stage::Serving | Stage::Draining => None,
        }
    }

    /// Whether the process was told to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(
            *self.stage.lock().unwrap_or_else(PoisonError::into_inner),
            Stage::Draining
        )
    }
}
