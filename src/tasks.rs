//! The one place that starts background work.
//!
//! Two stages of stopping: *soft* tells loops to end after what they are doing, *hard* drops what
//! is left. A fetch in flight is let finish in the soft stage: its token would be lost otherwise.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Starts background tasks and stops them in order. Clones share one tracker.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Tasks {
    /// Runs `work` to its end, or until the hard stop.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        let span = tracing::Span::current();
        let task = async move {
            tokio::select! {
                () = hard.cancelled() => tracing::debug!(task = name, "stopped hard"),
                () = work => {}
            }
        };
        self.tracker.spawn(task.instrument(span));
    }

    /// Resolves when loops should end.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Whether the soft stop was given.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Tells loops to end.
    pub fn stop_soft(&self) {
        self.soft.cancel();
    }

    /// Tells loops to end, waits up to `patience` for all tasks, then drops the rest.
    ///
    /// Returns whether everything ended by itself.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(patience, self.tracker.wait())
            .await
            .is_ok();
        self.hard.cancel();
        self.tracker.wait().await;
        ended
    }
}
