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

/// Shared by the start-up, the drain and `/readyz`.
#[derive(Debug)]
pub struct Readiness(Mutex<Stage>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Mutex::new(Stage::Starting(
            "the database has not been reached yet".to_owned(),
        )))
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

    fn set(&self, stage: Stage) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*held, Stage::Draining) {
            *held = stage;
        }
    }

    /// Why the start is not done; `None` when it is.
    #[must_use]
    pub fn starting(&self) -> Option<String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting(reason) => Some(reason.clone()),
            Stage::Serving | Stage::Draining => None,
        }
    }

    /// Whether the process was told to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(
            *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            Stage::Draining
        )
    }
}
